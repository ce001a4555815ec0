"""What Kafka's refusal of a row, or of a topic, means for what waits in the outbox."""

from typing import Final

from aiokafka.errors import (
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownError,
    UnknownTopicOrPartitionError,
    UnsupportedForMessageFormatError,
)


class UnwritableError(KafkaError):  # type: ignore[misc]  # aiokafka carries no types
    """A row that can't be written as a record at all, whoever the broker is."""


OF_A_ROW: Final = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTimestampError,
    UnsupportedForMessageFormatError,
    UnknownError,  # also what aiokafka makes of a code that it does not know: 87, INVALID_RECORD
    UnwritableError,
)
"""The same bytes are refused again: the row is set aside."""
OF_A_TOPIC: Final = (
    TopicAuthorizationFailedError,
    InvalidTopicError,
    UnknownTopicOrPartitionError,
)
"""It holds for all rows of a topic, until somebody changes the topic or a right: they stay pending."""
TRIES: Final = {UnknownError: 5}
"""So often a row is refused alone before an error that names no cause is believed; else once."""


def text_of(error: BaseException) -> str:
    """For logs and operators: the name of the error, and what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
