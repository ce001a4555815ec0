"""How long orders had to wait for a part that failed, from the log alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from chassis.events import type_of

PLACED: Final = "order.placed.v1"
ENDS: Final = frozenset({"order.confirmed.v1", "order.cancelled.v1"})


@dataclass(frozen=True, slots=True)
class LoggedOrder:
    """Instants are seconds of the services' clocks, when it was decided; `settled` None: not yet."""

    partition: int
    placed: float
    settled: float | None


@dataclass(frozen=True, slots=True)
class FailureWindow:
    """From shortly before something failed, `at`, until it was mended; seconds since the epoch.

    `partitions` are those of which the part that failed was the reader; all, where that is nobody's.
    """

    since: float
    at: float
    until: float
    partitions: frozenset[int]


@dataclass(frozen=True, slots=True)
class Pause:
    """`again_s`: from the failure until an order placed after it settled on each partition concerned.

    The slowest orders of those partitions, and of the others, and for how long the service published
    nothing. In seconds; None where there was no such order.
    """

    again_s: float | None
    slowest_s: float | None
    slowest_elsewhere_s: float | None
    silent_s: float | None


def orders_of(records: Iterable[Any]) -> list[LoggedOrder]:
    """Of the records of the order service's topics."""
    placed: dict[bytes, tuple[int, float]] = {}
    settled: dict[bytes, float] = {}
    for record in records:
        if (kind := type_of(record.headers)) == PLACED:
            placed[record.key] = record.partition, decided_at(record)
        elif kind in ENDS:
            settled[record.key] = min(decided_at(record), settled.get(record.key, float("inf")))
    return [LoggedOrder(n, at, settled.get(key)) for key, (n, at) in placed.items()]


def decided_at(record: Any) -> float:
    return datetime.fromisoformat(dict(record.headers)["ce_time"].decode()).timestamp()


def pause_of(
    window: FailureWindow, orders: Sequence[LoggedOrder], published: Sequence[float]
) -> Pause:
    """`published` is when Kafka was given each record of the service that failed, in any order."""
    there = [o for o in orders if window.since <= o.placed < window.until]
    concerned = [o for o in there if o.partition in window.partitions]
    others = [o for o in there if o.partition not in window.partitions]
    within = sorted(at for at in published if window.since <= at < window.until)
    gaps = [b - a for a, b in pairwise(within) if b >= window.at]
    return Pause(_again(window, concerned), slowest(concerned), slowest(others), most(gaps))


def _again(window: FailureWindow, orders: Sequence[LoggedOrder]) -> float | None:
    first: dict[int, float] = {}
    for order in orders:
        if order.placed >= window.at and order.settled is not None:
            settled = first.get(order.partition, float("inf"))
            first[order.partition] = min(settled, order.settled)
    if not first or first.keys() != window.partitions:
        return None
    return max(first.values()) - window.at


def slowest(orders: Iterable[LoggedOrder]) -> float | None:
    """An order that has not settled is as slow as can be."""
    took = [float("inf") if o.settled is None else o.settled - o.placed for o in orders]
    return most(took)


def most(values: Sequence[float]) -> float | None:
    return max(values, default=None)
