"""What a service declares, found by its name."""

from importlib import import_module
from pathlib import Path

from chassis.service import Service
from saga_cli.topology import BY_NAME


def service_of(name: str) -> Service:
    """With the policy that the environment sets, where it has one."""
    module = BY_NAME[name].module
    declared = import_module(f"{module}.service")
    if hasattr(declared, "with_policy"):
        policy = import_module(f"{module}.settings").PolicySettings().policy
        made: Service = declared.with_policy(policy)
        return made
    found: Service = declared.SERVICE
    return found


def readers_of(topic: str) -> frozenset[str]:
    """The services that read a topic, also to rebuild themselves from it."""
    declared = ((name, service_of(name)) for name in BY_NAME)
    return frozenset(n for n, s in declared if topic in {*s.topics, *s.own_topics})


def migrations_of(name: str) -> Path:
    return Path(str(import_module(BY_NAME[name].module).__file__)).parent / "migrations"
