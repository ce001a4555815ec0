"""What the parts of one process tell one another: a batch was committed, rows were sent or acknowledged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from chassis.decide import BatchResult
from chassis.message import Decided, Message, OutboxRow


@dataclass(frozen=True, slots=True)
class Committed:
    """A unit of work of this process is in the database."""

    messages: Sequence[Message]
    result: BatchResult

    def decided(self) -> Iterator[tuple[Message, Decided]]:
        """The messages that were decided on now, each with what came of it."""
        for message, outcome in zip(self.messages, self.result.outcomes, strict=True):
            if isinstance(outcome, Decided):
                yield message, outcome


@dataclass(frozen=True, slots=True)
class Sent:
    """Kafka has these rows of the outbox, by id; the outbox may hold them still."""

    rows: Sequence[tuple[str, OutboxRow]]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """These rows are out of the outbox."""

    rows: Sequence[OutboxRow]


@dataclass
class Bus:
    """Subscribers by event, called at once and in order. They neither wait nor raise."""

    committed: list[Callable[[Committed], None]] = field(default_factory=list)
    sent: list[Callable[[Sent], None]] = field(default_factory=list)
    acknowledged: list[Callable[[Acknowledged], None]] = field(default_factory=list)

    def publish(self, event: Committed | Sent | Acknowledged) -> None:
        match event:
            case Committed():
                for on_commit in self.committed:
                    on_commit(event)
            case Sent():
                for on_sent in self.sent:
                    on_sent(event)
            case Acknowledged():
                for on_acknowledged in self.acknowledged:
                    on_acknowledged(event)
