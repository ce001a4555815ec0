"""What became of a batch's messages, in metrics and in the log."""

from collections import Counter
from collections.abc import Sequence

import structlog

from chassis import tracing
from chassis.message import Message, Outcome, Parked, Unreadable
from chassis.metrics import BATCH_MESSAGES, BATCH_SECONDS, MESSAGES

log = structlog.get_logger()


def report(
    service: str, messages: Sequence[Message], outcomes: Sequence[Outcome], seconds: float
) -> None:
    """`seconds` is how long the batch took."""
    BATCH_SECONDS.labels(service).observe(seconds)
    BATCH_MESSAGES.labels(service).observe(len(messages))
    for kind, count in Counter(map(_kind_of, messages, outcomes)).items():
        MESSAGES.labels(service, kind).inc(count)
    for message, outcome in zip(messages, outcomes, strict=True):
        if isinstance(outcome, Parked):
            fields = tracing.log_fields(message.traceparent)
            log.error("message_parked", saga_id=message.key, reason=outcome.reason, **fields)


def _kind_of(message: Message, outcome: Outcome) -> str:
    """What a message counts as in the metrics."""
    is_malformed = isinstance(message.body, Unreadable) and isinstance(outcome, Parked)
    return "Malformed" if is_malformed else type(outcome).__name__
