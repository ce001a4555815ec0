"""Spans by OpenTelemetry's semantic conventions for messaging with Kafka, and of effects.

create   PRODUCER  one event that was decided on; its context goes with the event
send     CLIENT    events of one topic into Kafka; links to their `create`
receive  CLIENT    what one poll has handed out; links to the `create` of each
process  CONSUMER  one message, until it is committed; its `create` is the parent, and a link
settle   CLIENT    the commit of offsets; links to the `create` of what was received
KIND PROVIDER  CLIENT  one call of a provider, below the message that it was decided on

Of a redriven dead letter the operator's request is the parent of `process`, and `create` a link. What has
links alone begins a trace of its own, as it may be about many orders. A link to what is not recorded is
left out. Errors are named by `error.type`; no text of an error is exported, as it may quote data.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final, TypeAlias

from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, use_span
from opentelemetry.util.types import AttributeValue

from chassis import clock, tracing
from chassis.events import Envelope, type_of
from chassis.message import Message, OutboxRow, PendingEffect, Record

HeaderPairs: TypeAlias = Sequence[tuple[str, bytes | None]]
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
SYSTEM: Final = "messaging.system"
DESTINATION: Final = "messaging.destination.name"
PARTITION: Final = "messaging.destination.partition.id"
GROUP: Final = "messaging.consumer.group.name"
CLIENT: Final = "messaging.client.id"
COUNT: Final = "messaging.batch.message_count"
KEY: Final = "messaging.kafka.message.key"
OFFSET: Final = "messaging.kafka.offset"
MESSAGE: Final = "messaging.message.id"
CONVERSATION: Final = "messaging.message.conversation_id"
EVENT_TYPE: Final = "cloudevents.event_type"
SAGA: Final = "saga.id"
ERROR: Final = "error.type"
KINDS: Final = {
    "create": SpanKind.PRODUCER,
    "send": SpanKind.CLIENT,
    "receive": SpanKind.CLIENT,
    "process": SpanKind.CONSUMER,
    "settle": SpanKind.CLIENT,
}
DROPPED: Final = frozenset(digit.encode() for digit in tracing.NOT_SAMPLED)
LINKS_MAX: Final = 128
"""More links than that the SDK does not keep either, unless a variable says so."""


def process(group: str, message: Message, record: Record) -> Span:
    """The handling of a message, to be ended when it is committed."""
    created = tracing.parsed(message.created or message.traceparent)
    return _messaging(
        "process",
        record.topic,
        {
            GROUP: group,
            PARTITION: str(record.partition),
            OFFSET: record.offset,
            EVENT_TYPE: type_of(record.headers),
            **_of_message(str(message.id), record.subject, message.key),
        },
        parent=message.traceparent,
        links=[Link(created)] if created.is_valid else [],
    )


def create(topic: str, envelope: Envelope, context: str) -> Span:
    """An event that was decided on below the context."""
    of_event = _of_message(str(envelope.id), envelope.subject, envelope.saga_id)
    return _messaging("create", topic, {EVENT_TYPE: envelope.type, **of_event}, parent=context)


def send(client: str, topic: str, rows: Sequence[OutboxRow]) -> Span | None:
    """Rows on their way into a topic; None where none of them is recorded."""
    if not (links := _links(row.headers for row in rows)):
        return None
    more: dict[str, AttributeValue] = {CLIENT: client, COUNT: len(rows)}
    if len(rows) == 1:
        more |= _of_row(rows[0])
    return _messaging("send", topic, more, links=links)


@dataclass
class Reader:
    """What a member of a group receives and settles; `links` are to what it has yet to settle."""

    group: str
    links: list[Link] = field(default_factory=list)
    _since: datetime | None = None

    def polls(self) -> None:
        if tracing.is_on():
            self._since = clock.now()

    def received(self, records: Sequence[Record]) -> None:
        """What the poll has handed out."""
        if not tracing.is_on() or not (links := _links(record.headers for record in records)):
            return
        self.links = (self.links + links)[:LINKS_MAX]
        topics = {record.topic for record in records}
        topic = topics.pop() if len(topics) == 1 else ""
        more: dict[str, AttributeValue] = {GROUP: self.group, COUNT: len(records)}
        if len(records) == 1:
            (one,) = records
            more |= {PARTITION: str(one.partition), OFFSET: one.offset, **_of_row(one)}
        started = int((self._since or clock.now()).timestamp() * 1e9)
        _messaging("receive", topic, more, links=links, started_ns=started).end()

    def settling(self) -> AbstractContextManager[object]:
        """The commit of the offsets of what was received."""
        links, self.links = self.links, []
        return _settling(self.group, links) if links else nullcontext()


@contextmanager
def _settling(group: str, links: Sequence[Link]) -> Iterator[None]:
    span = _messaging("settle", "", {GROUP: group}, links=links)
    try:
        yield
    except BaseException as error:
        fail(span, error_type_of(error))
        raise
    finally:
        span.end()


def effect(provider: str, called: PendingEffect, kind: str) -> AbstractContextManager[str]:
    """The call of a provider, with the context that goes with its outcome."""
    if tracing.may_record(called.traceparent):
        return _effect(provider, called, kind)
    return nullcontext(called.traceparent)


@contextmanager
def _effect(provider: str, called: PendingEffect, kind: str) -> Iterator[str]:
    attributes: dict[str, AttributeValue] = {
        SAGA: called.key,
        "saga.effect.kind": kind,
        "saga.effect.id": called.id,
        "saga.effect.tries": called.tries,
    }
    span = tracing.tracer().start_span(
        f"{kind} {provider}",
        tracing.below(called.traceparent),
        kind=SpanKind.CLIENT,
        attributes=attributes,
    )
    with use_span(
        span, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield context_of(current, called.traceparent)
        except BaseException as error:
            fail(span, error_type_of(error))
            raise


def context_of(span: Span, default: str) -> str:
    """What goes with what follows from the span; the default where the SDK makes none."""
    return tracing.text_of(span.get_span_context()) or default


def fail(span: Span, error_type: str) -> None:
    span.set_attribute(ERROR, error_type)
    span.set_status(Status(StatusCode.ERROR))


def error_type_of(error: BaseException) -> str:
    return type(error).__name__


def end(spans: Iterable[Span]) -> None:
    """They are exported; what is never ended is not."""
    for span in spans:
        span.end()


def context_in(headers: HeaderPairs) -> str:
    """The context that a record has brought along; "" for none, or what is no text."""
    found = dict(headers)
    given = ((found.get(name) or b"").decode("latin-1") for name in ("traceparent", "tracestate"))
    return tracing.joined(*given)


def _links(batch: Iterable[HeaderPairs]) -> list[Link]:
    """To what is recorded of a batch; most of it is not, and only looked at."""
    contexts = (tracing.parsed(context_in(each)) for each in batch if not _is_dropped(each))
    return [Link(context) for context in islice(filter(_is_valid, contexts), LINKS_MAX)]


def _is_dropped(headers: HeaderPairs) -> bool:
    """A context is among the last headers of ours."""
    for name, raw in reversed(headers):
        if name == "traceparent":
            return (raw or b"")[tracing.FLAGS_END : tracing.FLAGS_END + 1] in DROPPED
    return True


def _is_valid(context: SpanContext) -> bool:
    return context.is_valid


def _of_row(row: OutboxRow | Record) -> dict[str, AttributeValue]:
    found = dict(row.headers)
    id_, saga = ((found.get(name) or b"").decode("latin-1") for name in ("ce_id", "ce_sagaid"))
    return _of_message(id_, row.key if isinstance(row, OutboxRow) else row.subject, saga)


def _of_message(id_: str, key: str, saga_id: str) -> dict[str, AttributeValue]:
    return {MESSAGE: id_, KEY: key, CONVERSATION: saga_id, SAGA: saga_id}


def _messaging(
    operation: str,
    topic: str,
    more: dict[str, AttributeValue],
    *,
    parent: str = "",
    links: Sequence[Link] = (),
    started_ns: int | None = None,
) -> Span:
    attributes = {SYSTEM: "kafka", OPERATION: operation, OPERATION_TYPE: operation, **more}
    if topic:
        attributes[DESTINATION] = topic
    return tracing.tracer().start_span(
        f"{operation} {topic}".rstrip(),
        tracing.below(parent),
        kind=KINDS[operation],
        attributes=attributes,
        links=links,
        start_time=started_ns,
    )
