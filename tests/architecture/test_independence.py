"""A service starts where the other four do not exist."""

import subprocess
import sys
from pathlib import Path

import pytest

from saga_cli.topology import SERVICES, ServiceSpec

ROOT = Path(__file__).parents[2]
ALONE = """
import importlib
import importlib.abc
import sys

own = sys.argv[1]

class Alone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {"saga_cli", "bench", "chaos", "simulation"} or (top.endswith("_svc") and top != own):
            raise ImportError(f"{own} imports {name}")
        return None

sys.meta_path.insert(0, Alone())
importlib.import_module(f"{own}.__main__")
print({"alembic", "sqlalchemy"} & sys.modules.keys())
"""


def imported_alone(module: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE]
    return subprocess.run(
        [*command, module], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_a_service_needs_no_other(spec: ServiceSpec) -> None:
    """Nor what only migrations and tables need, which would take a third of its memory."""
    result = imported_alone(spec.module)
    assert (result.returncode, result.stdout) == (0, "set()\n"), result.stderr


def test_the_finder_finds() -> None:
    code = ALONE.replace('f"{own}.__main__"', '"loyalty_svc.domain"')
    command = [sys.executable, "-c", code, "order_svc"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "order_svc imports loyalty_svc" in result.stderr
