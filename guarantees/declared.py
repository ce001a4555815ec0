"""What a service declares in its code, found by its name: its rules, its tables, its migrations."""

from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from chassis.postgres import SharedTable, StateTable
from chassis.redis import Layout
from chassis.service import Service
from guarantees.services import BY_NAME

Declared = TypeVar("Declared")


def service_of(name: str, policy: Any = None) -> Service:
    """With its own policy, if none is given; one may be given to a service that has `with_policy`."""
    declared = import_module(f"{BY_NAME[name].module}.service")
    found: Service = declared.SERVICE if policy is None else declared.with_policy(policy)
    return found


def configured(name: str) -> Service:
    """With the policy that the environment sets, where it has one."""
    settings = import_module(f"{BY_NAME[name].module}.settings")
    with_policy = getattr(settings, "PolicySettings", None)
    return service_of(name, with_policy().policy if with_policy else None)


def readers_of(topic: str) -> frozenset[str]:
    """The services that read a topic, also to rebuild themselves from it."""
    declared = ((name, service_of(name)) for name in BY_NAME)
    return frozenset(n for n, s in declared if topic in {*s.topics, *s.log_topics})


def migrations_of(name: str) -> Path:
    return Path(str(import_module(BY_NAME[name].module).__file__)).parent / "migrations"


def tables_of(name: str) -> tuple[StateTable, SharedTable | None]:
    """Of orders, and of what orders share; for a service that has a database."""
    store = import_module(f"{BY_NAME[name].module}.store")
    own = _one(store, StateTable)
    assert own is not None, f"{name} has a table of its own"
    return own, _one(store, SharedTable)


def layout_of(name: str) -> Layout:
    """Where a service that keeps its state in Redis has what."""
    layout = _one(import_module(f"{BY_NAME[name].module}.store"), Layout)
    assert layout is not None, f"{name} has a layout of its own"
    return layout


def _one(module: Any, kind: type[Declared]) -> Declared | None:
    return next((value for value in vars(module).values() if isinstance(value, kind)), None)
