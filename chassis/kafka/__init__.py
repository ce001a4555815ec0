"""Kafka: clients, topics, and the consumer that turns records into messages."""

from chassis.kafka.access import missing_right, start
from chassis.kafka.batches import UNREADABLE
from chassis.kafka.clients import (
    ANSWER_S,
    COMMITS_KEPT,
    KEEP_FOR_EVER,
    admin_client,
    await_topics,
    ensure_topics,
    make_consumer,
    make_producer,
    places_of,
    reading,
    stop_within,
    unread,
)
from chassis.kafka.cluster import Cluster
from chassis.kafka.consumer import Consumer
from chassis.kafka.membership import SESSION_S, SessionTimeout
from chassis.kafka.permitted import NotPermittedError, make_topics
from chassis.kafka.records import (
    check_part,
    is_consumed,
    logged_event,
    message_of,
    own_events,
    projected,
)
from chassis.kafka.refused import NotLetInError, reason_of
from chassis.kafka.topics import PARTITIONS, homes_of, partition_of, topics_of

__all__ = [
    "ANSWER_S",
    "COMMITS_KEPT",
    "KEEP_FOR_EVER",
    "PARTITIONS",
    "SESSION_S",
    "UNREADABLE",
    "Cluster",
    "Consumer",
    "NotLetInError",
    "NotPermittedError",
    "SessionTimeout",
    "admin_client",
    "await_topics",
    "check_part",
    "cluster",
    "ensure_topics",
    "homes_of",
    "is_consumed",
    "logged_event",
    "make_consumer",
    "make_producer",
    "make_topics",
    "message_of",
    "missing_right",
    "own_events",
    "partition_of",
    "places_of",
    "projected",
    "reading",
    "reason_of",
    "start",
    "stop_within",
    "tls",
    "topics_of",
    "unread",
]
