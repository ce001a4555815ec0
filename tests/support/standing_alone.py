"""A service with its own tests in a folder of its own, where nothing of this checkout can be imported."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SHARED: Final = ("__init__.py", "builders.py", "support.py", "samples/__init__.py")
"""What the tests of all domains stand on."""
AWAY: Final = "import sys\nsys.path[:] = [p for p in sys.path if p != {root!r}]\n"
"""The environment names this checkout, as it was installed to be edited."""
PYTEST: Final = """
import os
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # no test of a rule needs one
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/domain"]))
"""


def own_tests_into(folder: Path, service: str) -> None:
    """The tests of its rules, and no settings of pytest but the strict ones."""
    for name in (*SHARED, f"samples/{service}.py", f"test_{service}.py"):
        target = folder / "tests" / "domain" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tests" / "domain" / name, target)
    (folder / "tests" / "__init__.py").touch()


def python(folder: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs code in that folder, with its modules, those of the environment, and none of this checkout."""
    command = [sys.executable, "-c", AWAY.format(root=str(ROOT)) + code, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
