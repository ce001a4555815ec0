"""The code of earlier releases, started as processes beside today's."""

import compileall
import re
import tarfile
from pathlib import Path
from typing import Final

from saga_cli.checkouts import unpack

ROOT: Final = Path(__file__).parents[2]
STORED: Final = ROOT / "tests" / "contract" / "releases"
"""One archive a release, as `scripts/release_code.py` makes it."""


def newest() -> Path:
    """The archive of the last release."""
    return max(STORED.glob("*.tar.xz"), key=_version)


def _version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.name)]


def unpacked_into(folder: Path, archive: Path) -> Path:
    """The code in a folder, compiled once for all of its processes."""
    with tarfile.open(archive) as files:
        unpack(files, folder)
    assert compileall.compile_dir(folder, quiet=1)
    return folder


def variables_of(code: Path) -> dict[str, str]:
    """With these a service's process runs that code, and none of this checkout's."""
    return {"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}
