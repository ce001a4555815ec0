"""Contracts by consumer: what a service reads of each neighbour's events, as files of the consumer.

`X_svc/contracts/Y.json` is what X reads of Y, as JSON Schema by wire type: fields with a default are not
needed, and what is not in it is not read. `make docs` writes the files from the events that X declares.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from chassis.events import name_of
from guarantees.services import BY_NAME
from saga_cli.schema.comparing import inlined, unreadable
from saga_cli.schema.snapshot import ADAPTER, Event, Vocabulary
from saga_cli.terminal import fail, plain


def path_of(root: Path, consumer: str, producer: str) -> Path:
    return root / BY_NAME[consumer].module / "contracts" / f"{producer}.json"


def contracts_of(consumer: str, reads: Vocabulary) -> dict[str, Vocabulary]:
    """By neighbour; what it reads of itself is no contract."""
    producers = sorted({event.owner for event in reads.values()} - {consumer})
    return {p: {n: event for n, event in reads.items() if event.owner == p} for p in producers}


def stored(root: Path, consumer: str, producer: str) -> Vocabulary | None:
    """As a checkout has it; None if there is no such file. A malformed one ends the command with 2."""
    path = path_of(root, consumer, producer)
    try:
        return ADAPTER.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        fail(f"{plain(str(path))} is no contract")


def broken(contract: Vocabulary, writes: Vocabulary) -> Iterator[str]:
    """What a consumer would stumble over in the events of a producer, each in one line."""
    published = {name_of(name): (name, event) for name, event in writes.items()}
    for wire_type, wanted in contract.items():
        name, event = published.get(name_of(wire_type), ("", None))
        if event is None:
            yield f"{wire_type} is read, and not published"
        elif name not in {wire_type, *wanted.reads}:
            yield f"{name} is published, and {wire_type} is the newest that is read"
        elif event.topic not in {wanted.topic, *wanted.former}:
            yield f"{name} is published in {event.topic}, and read in {wanted.topic}"
        elif name == wire_type:
            yield from (f"{name}: {why}" for why in _off_the_schema(wanted, event))


def _off_the_schema(wanted: Event, event: Event) -> Iterator[str]:
    if wanted.key != event.key:
        yield f"its key is {event.key}, where {wanted.key} is read"
    yield from unreadable(inlined(wanted.schema), inlined(event.schema))
