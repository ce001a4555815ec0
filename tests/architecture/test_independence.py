"""A service starts where the other four do not exist: in a folder that has what its image has, and no more.

The long form checks the types there as well: `python -m tests.each_alone`.
"""

import json
import re
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from saga_cli.topology import SERVICES, ServiceSpec
from scripts.shipped import packages
from tests.support.images import copied_into
from tests.support.standing_alone import PYTEST, own_tests_into, python

each_service = pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
IMPORTED = """
import importlib, json, pathlib, pkgutil

own, hidden = sys.argv[1], {*json.loads(sys.argv[2])}

class NotInTheImage:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, NotInTheImage())
importlib.import_module(f"{own}.__main__")
slow = sorted({"alembic", "sqlalchemy"} & sys.modules.keys())
for found in pkgutil.walk_packages([own], f"{own}."):
    if not found.name.startswith(f"{own}.migrations"):
        importlib.import_module(found.name)
files = {name: str(getattr(module, "__file__", "")) for name, module in sys.modules.items()}
here = {name.partition(".")[0] for name, file in files.items() if file.startswith(str(pathlib.Path.cwd()))}
print(json.dumps([slow, sorted(here)]))
"""

pytestmark = pytest.mark.long(2)


def imported(folder: Path, module: str, hidden: Iterable[str] = ()) -> Any:
    """What a service loads too early, and its parts in that folder, without these packages."""
    ended = python(folder, IMPORTED, module, json.dumps([*hidden]))
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def not_in_the_image(service: str) -> set[str]:
    """Packages that are installed here, for tools and tests or for other services."""
    brought = {canonicalize_name(name) for name in packages([service])}
    return {
        name
        for name, of in packages_distributions().items()
        if not brought.intersection(map(canonicalize_name, of))
    }


@each_service
def test_a_service_needs_what_its_image_has_and_no_more(spec: ServiceSpec, tmp_path: Path) -> None:
    """Nor, at its start, what only migrations and tables need: a third of its memory."""
    copied_into(tmp_path, spec.name)
    parts = {"chassis", "shared_events", spec.module}
    assert {path.name for path in tmp_path.iterdir()} == parts
    hidden = not_in_the_image(spec.name)
    assert {"typer", "pytest", "stripe", "redis", "asyncpg"} - hidden == brought_by(spec)
    assert imported(tmp_path, spec.module, hidden) == [[], sorted(parts)]


def brought_by(spec: ServiceSpec) -> set[str]:
    """Of the packages that only some services need."""
    redis = {"redis"} if spec.redis_database is not None else set()
    stripe = {"stripe"} if spec.name == "payment" else set()
    return redis | stripe | ({"asyncpg"} if spec.has_database else set())


@each_service
def test_its_own_tests_pass_where_no_other_is(spec: ServiceSpec, tmp_path: Path) -> None:
    copied_into(tmp_path, spec.name)
    own_tests_into(tmp_path, spec.name)
    ended = python(tmp_path, PYTEST)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (passed,) = re.findall(r"(\d+) passed", ended.stdout)
    assert int(passed) >= 20


def test_what_is_not_in_the_image_is_noticed(tmp_path: Path) -> None:
    copied_into(tmp_path, "order")
    assert imported(tmp_path, "order_svc") == [[], ["chassis", "order_svc", "shared_events"]]
    missing = python(tmp_path, IMPORTED, "order_svc", '["aiokafka"]')
    assert "aiokafka is not in the image" in missing.stderr
    with (tmp_path / "order_svc" / "domain.py").open("a", encoding="utf-8") as file:
        file.write("\nimport loyalty_svc.domain\n")
    other = python(tmp_path, IMPORTED, "order_svc", "[]")
    assert "No module named 'loyalty_svc'" in other.stderr
