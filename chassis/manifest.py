"""What is known of a service from outside: the facts that deployment, tools, checks and tests read.

A service states them in its `manifest.py`, which starts nothing and imports nothing but this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Call:
    """In the state `state` a saga waits for an outcome of the effect `kind`.

    The event `intent` is recorded before the provider is called. `outcomes` are the messages by
    which the outcome comes.
    """

    state: str
    kind: str
    intent: str
    outcomes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """`port` is its HTTP port, `version` that of its release (Semantic Versioning), its own.

    `table` holds its sagas in PostgreSQL; a service without one keeps its state in Redis.
    `redis_database` is a number, None for a service that does not use Redis; all of its keys there
    begin with `redis_keys`. `provider` is the
    external party that it calls, `calls` for what. `timers` are kinds of timers, by the state that
    they end. `final` are the states that a saga does not leave, with the event that leads there.
    `counter` is the field of rows that sagas share which counts the events of the row's own key.
    `package` is that of its program, where it is not called as services are.
    """

    name: str
    port: int
    table: str = ""
    redis_database: int | None = None
    redis_keys: str = ""
    provider: str = ""
    calls: tuple[Call, ...] = ()
    timers: Mapping[str, str] = field(default_factory=dict)
    final: Mapping[str, str] = field(default_factory=dict)
    counter: str = ""
    package: str = ""
    version: str = ""

    @property
    def has_database(self) -> bool:
        return self.table != ""

    @property
    def module(self) -> str:
        return self.package or f"{self.name}_svc"

    @property
    def prefix(self) -> str:
        """Of its environment variables, without the underscore."""
        return self.name.upper()

    @property
    def role(self) -> str:
        """In PostgreSQL: may read and write rows of its own database, and change nothing of the schema."""
        return f"{self.name}_svc"

    @property
    def owner(self) -> str:
        """The role that owns the tables of its database."""
        return f"{self.name}_owner"

    @property
    def database(self) -> str:
        return f"{self.name}_db"
