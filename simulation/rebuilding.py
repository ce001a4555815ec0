"""A service's database that is lost with its outbox, and made anew from the log as `saga replay` does."""

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from chassis.ids import entry_of
from chassis.replay import Folded, InTurn, fold, outstanding_effects
from simulation.checks import Watch, pieces_in
from simulation.database import Database, Row
from simulation.process import servers_now
from simulation.verdict import events

if TYPE_CHECKING:
    from simulation.system import SimulatedSystem

LOG_KNOWS = frozenset({"own", "shared", "inbox", "outbox", "effects", "parked", "journal"})
"""What a rebuild in place fills or empties; the rest is not in the log."""


def rebuild(system: "SimulatedSystem", name: str) -> None:
    """No process of the service may run."""
    database: Database = system.databases[name]
    database.restart()
    _forget_what_is_lost(system.watch, name, database)
    for table in LOG_KNOWS:
        getattr(database, table).clear()
    service = system.services[name]
    published = (entry.envelope for entry in events(system, name))
    folded = fold(service, InTurn().take(published), Folded())
    database.own.update({k: Row(row.version, row.state) for k, row in folded.own.items()})
    database.shared.update(folded.shared)
    entries = (entry_of(key, UUID(id_)) for key, ids in folded.causes.items() for id_ in ids)
    database.inbox.update(dict.fromkeys(entries, servers_now()))
    for effect, since in outstanding_effects(service, folded):
        kept = replace(effect, due_at=effect.due_at or servers_now(), owed_since=since)
        database.effects[kept.id] = kept
        database.due.add(kept)


def _forget_what_is_lost(watch: Watch, name: str, database: Database) -> None:
    """What was decided and never published is decided again, and perhaps otherwise."""
    watch.forgetful.add(name)
    for row in (line.row for line in database.outbox.values()):
        id_ = (dict(row.headers).get("ce_id") or b"").decode()
        if id_ in watch.published or id_ not in watch.committed:
            continue
        del watch.committed[id_]
        watch.ended.pop((name, row.key), None)
        if pieces := pieces_in(row):
            watch.received[row.key] -= pieces
