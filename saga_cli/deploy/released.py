"""A release of one service as data: what it reads and writes, and its migrations.

`python -m saga_cli.deploy.released SERVICE` prints it; other code than this runs it as well, so that it
imports nothing of `saga_cli` but the vocabulary's schemas, and takes what an earlier release lacks for empty.
"""

import io
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from chassis.events import name_of
from saga_cli.schema import snapshot
from saga_cli.schema.snapshot import Vocabulary

SEMICOLON: Final = re.compile(r";(?=(?:[^$]|\$\$[^$]*\$\$)*$)")
"""One that ends a statement: not within the body of a function."""


@dataclass(frozen=True, slots=True)
class ServiceRelease:
    """`reads` are events that it decides on or folds into a projection, `writes` those that it publishes.

    `known` are all types of its vocabulary, in every version. `migrations` are the SQL statements of each, by
    its number, in order. `states` are those that it can read of its store.
    """

    service: str
    version: str
    reads: Vocabulary
    writes: Vocabulary
    known: tuple[str, ...] = ()
    migrations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    states: tuple[str, ...] = ()

    def read_from(self, producer: str) -> Vocabulary:
        """What it reads of one neighbour: its contract with it."""
        return {name: event for name, event in self.reads.items() if event.owner == producer}

    def parks(self, wire_type: str) -> bool:
        """Whether it could neither read nor pass over an event of this type in a topic that it reads."""
        own = {**self.reads, **self.writes}
        return parks(wire_type, {v for n, e in own.items() for v in (n, *e.reads)}, self.known)


def parks(wire_type: str, reads: Collection[str], known: Collection[str]) -> bool:
    """An event of which no version is read is passed over in any version, if its name is known."""
    name = name_of(wire_type)
    is_passed_over = name in map(name_of, known) and name not in map(name_of, reads)
    return wire_type not in reads and not is_passed_over


ADAPTER: Final = TypeAdapter(ServiceRelease)


def described(name: str) -> ServiceRelease:
    """That of the code that is imported."""
    service: Any = import_module(f"{name}_svc.service").SERVICE
    manifest: Any = import_module(f"{name}_svc.manifest").MANIFEST
    catalog = service.catalog
    return ServiceRelease(
        service=name,
        version=getattr(manifest, "version", ""),
        reads=reads_of(service),
        writes=writes_of(service),
        known=tuple(sorted(catalog.by_type)),
        migrations=_migrations(Path(str(import_module(f"{name}_svc").__file__)).parent),
        states=_states(import_module(f"{name}_svc.store")),
    )


def reads_of(service: Any) -> Vocabulary:
    """What a declared service decides on, or folds into a projection."""
    entries = service.catalog.entries
    folded = (entry for entry in entries if entry.topic in service.projections)
    return _vocabulary([*map(service.catalog.by_event.get, service.consumes), *folded])


def writes_of(service: Any) -> Vocabulary:
    return _vocabulary(map(service.catalog.by_event.get, service.publishes))


def _states(store: Any) -> tuple[str, ...]:
    """Of the table or hash in which the module says that a saga's state lives."""
    declared = (getattr(each, "states", ()) for each in vars(store).values())
    return tuple(sorted({state.__name__ for states in declared for state in states}))


def _vocabulary(entries: Iterable[Any]) -> Vocabulary:
    return dict(sorted(snapshot.of(entries).items()))


def _migrations(package: Path) -> dict[str, tuple[str, ...]]:
    paths = sorted((package / "migrations" / "versions").glob("[0-9]*_*.py"))
    return {path.stem.split("_")[0]: tuple(statements(path)) for path in paths}


def statements(path: Path) -> list[str]:
    """The SQL of a migration, as Alembic would run it on PostgreSQL."""
    from alembic.migration import MigrationContext  # noqa: PLC0415 - a service may have no database
    from alembic.operations import Operations  # noqa: PLC0415

    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    written = io.StringIO()
    options = {"as_sql": True, "output_buffer": written}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context):
        module.upgrade()
    return [text.strip() for text in SEMICOLON.split(written.getvalue()) if text.strip()]


if __name__ == "__main__":
    sys.stdout.buffer.write(ADAPTER.dump_json(described(sys.argv[1])))
