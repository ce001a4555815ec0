"""Prometheus metrics of every service, by the conventions of prometheus.io/docs/practices/naming.

No label has values without a bound: they are names that the code declares, and at most `VALUES_MAX` of
what others name, such as the reasons of a payment provider.
"""

from dataclasses import dataclass, field
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

VALUES_MAX: Final = 40
OTHER: Final = "other"
WAITS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 86_400)
"""Bounds of what may take milliseconds, or days while a provider is away."""

MESSAGES: Final = Counter("saga_messages_total", "Messages handled", ["service", "outcome"])
BATCH_SECONDS: Final = Histogram("saga_batch_seconds", "Time of one batch transaction", ["service"])
BATCH_MESSAGES: Final = Histogram(
    "saga_batch_messages",
    "Messages in a batch",
    ["service"],
    buckets=(1, 2, 5, 10, 50, 100, 500, 1000),
)
DECIDED: Final = Counter(
    "saga_events_decided_total",
    "Events decided on and committed; those of the lane `backward` are compensations",
    ["service", "event", "lane"],
)
STEP_SECONDS: Final = Histogram(
    "saga_step_seconds",
    "From the event or the call that a step waits for to the event that answers it",
    ["service", "event"],
    buckets=WAITS_S,
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
EFFECT_TRIES: Final = Histogram(
    "saga_effect_tries",
    "Calls that an effect took until its outcome was known",
    ["service", "kind"],
    buckets=(1, 2, 3, 5, 8, 13, 21, 50),
)
EFFECTS_OUTSTANDING: Final = Gauge(
    "saga_effects_outstanding",
    "Effects without an outcome, by how far they have got",
    ["service", "kind", "progress"],
)
OUTBOX_ROWS: Final = Gauge(
    "saga_outbox_rows", "Rows of the outbox that Kafka has not acknowledged", ["service"]
)
OUTBOX_OLDEST: Final = Gauge(
    "saga_outbox_oldest_seconds", "Age of the oldest row of the outbox, 0 without one", ["service"]
)
OUTBOX_REFUSED: Final = Gauge(
    "saga_outbox_refused_rows", "Rows that Kafka refuses for good", ["service"]
)
PARKED_MESSAGES: Final = Gauge("saga_parked_messages", "Dead letters", ["service"])
PARKED_KEYS: Final = Gauge(
    "saga_parked_keys", "Sagas that wait for their dead letters", ["service"]
)
LAG: Final = Gauge(
    "saga_consumer_lag_records",
    "Records not yet handled; NaN while Kafka does not answer",
    ["service"],
)
LAG_SECONDS: Final = Gauge(
    "saga_consumer_lag_seconds",
    "How long the oldest record not yet handled has waited, at most; NaN while Kafka does not answer",
    ["service"],
)
READY: Final = Gauge("saga_ready", "1 while the store can be committed to", ["service"])
DEGRADED: Final = Gauge(
    "saga_degraded", "1 while a condition of /health/ready holds", ["service", "reason"]
)
BUILD: Final = Gauge(
    "saga_build_info", "1; the labels say what runs", ["service", "version", "python"]
)
HTTP_SECONDS: Final = Histogram(
    "http_server_request_duration_seconds",
    "From a request's head to the end of its response",
    ["service", "method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
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


@dataclass(slots=True)
class Bounded:
    """Values of a label that others name: the first `VALUES_MAX` as they are, the rest as `other`."""

    _known: set[str] = field(default_factory=set)

    def __call__(self, value: str) -> str:
        if value not in self._known and len(self._known) < VALUES_MAX:
            self._known.add(value)
        return value if value in self._known else OTHER
