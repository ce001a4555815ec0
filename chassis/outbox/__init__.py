"""The transactional outbox's way to Kafka: one relay a service, in the order of its rows."""

from chassis.outbox.recent import RecentOutboxRows
from chassis.outbox.relay import Relay
from chassis.outbox.sender import Sender

__all__ = ["RecentOutboxRows", "Relay", "Sender"]
