"""A service's own events from the log, without what others left in its topic."""

from collections.abc import Callable, Iterable, Iterator

from chassis.batches import UNREADABLE
from chassis.events import Envelope, MalformedError
from chassis.message import Record
from saga_cli.log.source import LogRecord
from shared_events.codec import decode_record

Unreadable = Callable[[Record, MalformedError], None]


def own_events(
    service: str, batch: Iterable[LogRecord], unreadable: Unreadable
) -> Iterator[tuple[int, Envelope]]:
    """With their offsets; one that can't be read is told of, also where only it may be the service's."""
    source = f"/{service}".encode()
    for record in (kept.record for kept in batch):
        headers = dict(record.headers)
        if why := headers.get(UNREADABLE):
            unreadable(record, MalformedError(why.decode("utf-8", "replace")))
        elif headers.get("ce_source") == source:
            try:
                yield record.offset, decode_record(record)
            except MalformedError as error:
                unreadable(record, error)
