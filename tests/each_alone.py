"""Each service where no other is: it is type-checked, imported and passes its own tests, a minute or two.

`python -m tests.each_alone`, the long form of tests/architecture/test_independence.py. A folder has what the
service's image has, and its own tests; the others' folders, the commands and the simulation are not there.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from saga_cli.topology import SERVICES
from tests.support.images import copied_into
from tests.support.standing_alone import PYTEST, ROOT, own_tests_into, python

SETTINGS: Final = ("--config-file", str(ROOT / "pyproject.toml"))
MYPY: Final = [
    sys.executable,
    "-m",
    "mypy",
    *SETTINGS,
    "--no-error-summary",
    "chassis",
    "shared_events",
]


def faults(folder: Path, module: str) -> list[str]:
    """What types and tests say, if anything."""
    typed = subprocess.run(
        [*MYPY, module, "tests"], cwd=folder, capture_output=True, text=True, check=False
    )
    tested = python(folder, PYTEST)
    return [
        text
        for ended in (typed, tested)
        if ended.returncode
        for text in (ended.stdout + ended.stderr).splitlines()
    ]


def main() -> None:
    failed = 0
    with tempfile.TemporaryDirectory() as made:
        for spec in SERVICES:
            folder = Path(made, spec.name)
            copied_into(folder, spec.name)
            own_tests_into(folder, spec.name)
            found = faults(folder, spec.module)
            failed += bool(found)
            sys.stdout.write(
                "\n  ".join([f"{spec.name}: {'NOT WELL' if found else 'well'}", *found])
            )
            sys.stdout.write("\n")
            sys.stdout.flush()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
