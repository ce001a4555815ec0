"""Prometheus metrics of the mechanism, labelled by service."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

MESSAGES: Final = Counter("saga_messages_total", "Messages handled", ["service", "outcome"])
BATCH_SECONDS: Final = Histogram("saga_batch_seconds", "Time of one batch transaction", ["service"])
BATCH_MESSAGES: Final = Histogram(
    "saga_batch_messages",
    "Messages in a batch",
    ["service"],
    buckets=(1, 2, 5, 10, 50, 100, 500, 1000),
)
PUBLISHED: Final = Counter(
    "saga_events_published_total", "Events acknowledged by Kafka", ["service"]
)
RELAY_FAILURES: Final = Counter("saga_relay_failures_total", "Failed relay turns", ["service"])
REBUILDS: Final = Counter(
    "saga_consumer_rebuilds_total", "Kafka consumers thrown away", ["service"]
)
EFFECTS: Final = Counter(
    "saga_effects_total", "Calls to the outside", ["service", "kind", "result"]
)
BACKLOG: Final = Gauge("saga_backlog", "What waits in the store", ["service", "what"])
LAG: Final = Gauge(
    "saga_consumer_lag_records",
    "Records not yet read; NaN while Kafka does not answer",
    ["service"],
)
READY: Final = Gauge("saga_ready", "1 while the store can be committed to", ["service"])
DEGRADED: Final = Gauge(
    "saga_degraded", "1 while a condition of /health/ready holds", ["service", "reason"]
)
HTTP_CONNECTIONS: Final = Gauge("saga_http_connections", "Connections open", ["service"])
HTTP_REFUSED: Final = Counter(
    "saga_http_refused_total", "Connections closed for going beyond a limit", ["service", "why"]
)
CIRCUIT: Final = Gauge(
    "saga_circuit_state", "0 closed, 1 half-open, 2 open", ["service", "provider"]
)
AUTH_OFF: Final = Gauge("saga_auth_off", "1 where callers are not asked who they are", ["service"])
AUTH_REFUSED: Final = Counter(
    "saga_auth_refused_total",
    "Requests refused for who asks, by the problem's code",
    ["service", "why"],
)
