"""What may go wrong between a client and the simulated broker: asked once for every request."""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

RequestKind = Literal[
    "metadata", "create", "init", "produce", "fetch", "offsets", "committed",
    "commit", "join", "heartbeat", "leave",
]  # fmt: skip


class Fault(NamedTuple):
    """The client gets `error` in place of a reply; `applied` says that the request took effect.

    A client answers an error as aiokafka does. A retriable one, such as KafkaConnectionError, is
    retried; any other, such as KafkaTimeoutError, reaches the caller. Of a fetch, the error comes
    out of getmany, and takes with it what that call had drained of other partitions.
    """

    delay_s: float = 0.0
    reply_delay_s: float = 0.0
    error: KafkaError | None = None
    applied: bool = False


NO_FAULT: Final = Fault()
NOWHERE: Final = TopicPartition("", -1)
"""The place of a request that is about no partition, or about many."""
FaultOf: TypeAlias = Callable[[RequestKind, TopicPartition], Fault]
