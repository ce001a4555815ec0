"""The reasons why a version of a service may not go out, from what was found; none of it asks anybody."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from chassis.events import name_of
from guarantees.counts import counted
from guarantees.services import BY_NAME
from saga_cli.deploy.contracts import broken
from saga_cli.deploy.expanding import breaking
from saga_cli.deploy.released import ServiceRelease, parks
from saga_cli.schema.snapshot import Vocabulary


@dataclass(frozen=True, slots=True)
class DeployReason:
    """What a check found, in one line. One that does not refuse is worth knowing."""

    check: str
    why: str
    refuses: bool = True


@dataclass(frozen=True, slots=True)
class RunningInstance:
    """What an instance says of itself (`GET /version`); `silent` is why it says nothing.

    One of a release that has no such route yet has no `version`.
    """

    service: str
    url: str
    version: str = ""
    commit: str | None = None
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    knows: tuple[str, ...] = ()
    silent: str = ""


INSTANCE: Final[TypeAdapter[Any]] = TypeAdapter(RunningInstance)


def is_of(label: str, service: str) -> bool:
    """A neighbour is named with its commit where that is known."""
    return label.partition(" ")[0] == service


def of_contracts(
    new: ServiceRelease, contracts: Mapping[str, Vocabulary]
) -> Iterator[DeployReason]:
    """`contracts` are what each neighbour reads of the service."""
    for consumer, contract in contracts.items():
        for why in broken(contract, new.writes):
            yield DeployReason("contract", f"{consumer} could not read it: {why}")


def of_neighbours(
    new: ServiceRelease, published: Mapping[str, Vocabulary]
) -> Iterator[DeployReason]:
    """`published` is what each neighbour writes, as the code that runs says it."""
    for producer, writes in published.items():
        if contract := new.read_from(producer.partition(" ")[0]):
            for why in broken(contract, writes):
                yield DeployReason("contract", f"it could not read {producer}: {why}")


def of_running(
    old: ServiceRelease,
    new: ServiceRelease,
    instances: Sequence[RunningInstance],
    contracts: Mapping[str, Vocabulary],
) -> Iterator[DeployReason]:
    """By types alone, of each instance that answers: two releases of a neighbour may be at work."""
    for found in instances:
        where = f"{found.service} at {found.url}"
        if found.silent:
            yield DeployReason("running", f"{where} {found.silent}")
        elif not found.version:
            why = f"{where} has no /version: a release before 0.3, held against contracts alone"
            yield DeployReason("running", why, refuses=False)
        elif found.service == new.service:
            if found.version not in {old.version, new.version}:
                why = f"{where} is {found.version}: neither OLD nor NEW says what runs"
                yield DeployReason("running", why)
        else:
            for wire_type in filter(new.parks, found.writes):
                if name_of(wire_type) in map(name_of, new.reads):
                    yield DeployReason(
                        "running", f"{where} publishes {wire_type}, which is not read"
                    )
            read = (events for name, events in contracts.items() if is_of(name, found.service))
            topics = {event.topic for events in read for event in events.values()}
            for wire_type, event in new.writes.items():
                if event.topic in topics and parks(wire_type, found.reads, found.knows):
                    yield DeployReason(
                        "running", f"{where} does not know {wire_type}, and would park it"
                    )


def of_log(new: ServiceRelease, types: Mapping[str, Counter[str]]) -> Iterator[DeployReason]:
    """`types` are what stands in each topic that it reads, or rebuilds itself from.

    A service with a database reads its own log only when a person rebuilds or verifies it.
    """
    read = {topic for event in new.reads.values() for topic in (event.topic, *event.former)}
    for topic, counts in types.items():
        is_needed = topic in read or not BY_NAME[new.service].has_database
        for wire_type in filter(new.parks, counts):
            why = f"{topic} holds {wire_type} ({counts[wire_type]} of it), which is not read"
            more = "" if is_needed else ": it can be rebuilt and verified by newer code alone"
            yield DeployReason("log", why + more, refuses=is_needed)


def of_parked(new: ServiceRelease, keys: int, types: Counter[str]) -> Iterator[DeployReason]:
    """`types` are those of its parked messages, which wait to be decided on by the new version."""
    for wire_type in filter(new.parks, filter(None, types)):
        why = f"{types[wire_type]} dead letters are {wire_type}, which is not read"
        yield DeployReason("parked", why)
    if keys:
        waiting = counted(keys, "key waits", "keys wait")
        why = f"{waiting}: `saga dead-letters redrive --all {new.service}` once it is out"
        yield DeployReason("parked", why, refuses=False)


def of_migrations(old: ServiceRelease, new: ServiceRelease) -> Iterator[DeployReason]:
    """Forward, the old version runs on the new schema meanwhile; back, it stays on it."""
    for one, other, whose in ((new, old, "the old"), (old, new, "the new")):
        for number in sorted(one.migrations.keys() - other.migrations.keys()):
            for text in breaking(one.migrations[number]):
                shown = " ".join(text.split())[:100]
                yield DeployReason(
                    "migration", f"{number} does not only add, for {whose} code: {shown}"
                )
    if old.migrations.keys() - new.migrations.keys() and not new.version:
        why = "NEW is of a release before 0.3, which does not start on a schema of a later one"
        yield DeployReason("migration", why)
    for number in sorted(old.migrations.keys() & new.migrations.keys()):
        if old.migrations[number] != new.migrations[number]:
            yield DeployReason("migration", f"{number} was changed after its release")


def lost_states(old: ServiceRelease, new: ServiceRelease) -> set[str]:
    """What may be in the store, and can't be read any more."""
    return {*old.states} - {*new.states}


def of_states(
    old: ServiceRelease, new: ServiceRelease, stored: Mapping[str, int] | None
) -> Iterator[DeployReason]:
    """`stored` is how many orders are in each lost state; None where nobody could be asked.

    Whoever meets a state that it can't read parks what comes for that order.
    """
    for state in sorted(lost_states(old, new)):
        if stored is None:
            yield DeployReason("state", f"orders may be in the state {state}, which it can't read")
        elif count := stored.get(state, 0):
            why = f"{count} orders are in the state {state}, which it can't read"
            yield DeployReason("state", why)
    for state in sorted(lost_states(new, old)):
        why = f"{state} is new, and the old code can't read it: a release that enters it comes after this one"
        yield DeployReason("state", why, refuses=False)
