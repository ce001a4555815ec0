"""What a load found, worked out from its raw observations when it is over."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

from hdrh.histogram import HdrHistogram
from pydantic import TypeAdapter

from bench.plan import LoadPlan

TICK_S: Final = 0.25
CREATED: Final = 201
REFUSED: Final = frozenset({429, 503})
CONFIRMED: Final = "confirmed"
HIGHEST_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Latency:
    """From a microsecond to a minute, three digits; beyond a minute it counts as a minute.

    `encoded` is the histogram of microseconds, as HdrHistogram's log format has it.
    """

    count: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    encoded: str


def latency(seconds: Iterable[float]) -> Latency:
    histogram = HdrHistogram(1, HIGHEST_US, 3)
    for value in seconds:
        histogram.record_value(min(max(round(value * 1e6), 1), HIGHEST_US))
    p50, p99, p999, most = _percentiles(histogram, (50, 99, 99.9, 100))
    return Latency(histogram.get_total_count(), p50, p99, p999, most, histogram.encode().decode())


def percentiles(found: Latency, percents: Iterable[float]) -> list[float]:
    """In milliseconds."""
    return _percentiles(HdrHistogram.decode(found.encoded), percents)


def _percentiles(histogram: HdrHistogram, percents: Iterable[float]) -> list[float]:
    return [histogram.get_value_at_percentile(percent) / 1000 for percent in percents]


class ObservedAnswer(NamedTuple):
    """Instants are seconds after the start of the load."""

    due: float
    at: float
    status: int
    says_when: bool


class Settled(NamedTuple):
    """`how` is `confirmed`, or the reason of the cancellation."""

    due: float
    at: float
    how: str


@dataclass(slots=True)
class Observed:
    """`late` is by how much the generator itself fell behind its schedule, for each order."""

    late: list[float] = field(default_factory=list)
    answered: list[ObservedAnswer] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    placed_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Tick:
    """What happened in a quarter of a second; the latency is of the orders that were due in it."""

    at_s: float
    accepted: int = 0
    refused: int = 0
    settled: int = 0
    backlog: int = 0
    p50_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """Settled is when the event arrived at the generator: an upper bound of when it was committed.

    `seconds` are those of the plan, or of a closed loop until its last order was settled.
    """

    offered: int
    sent: int
    accepted: int
    refused: int
    refused_with_retry_after: int
    answers: dict[str, int]
    confirmed: int
    cancelled: dict[str, int]
    unsettled: int
    seconds: float
    placed_s: float
    last_settled_s: float
    settled_per_s: float
    http: Latency
    end_to_end: Latency
    late_p99_ms: float
    late_max_ms: float
    cpu_s: float
    ticks: tuple[Tick, ...]

    @property
    def settled(self) -> int:
        return self.confirmed + sum(self.cancelled.values())

    @property
    def confirmed_per_s(self) -> float:
        return self.settled_per_s * self.confirmed / max(self.settled, 1)

    @property
    def is_late(self) -> bool:
        """The generator, not the system: then its figures are worth little."""
        return self.late_p99_ms > LATE_MS


REPORT: Final = TypeAdapter(LoadReport)
LATE_MS: Final = 50.0


def reported(plan: LoadPlan, seen: Observed) -> LoadReport:
    statuses = Counter(answer.status for answer in seen.answered)
    ways = Counter(settled.how for settled in seen.settled)
    last = max((settled.at for settled in seen.settled), default=0.0)
    seconds = plan.seconds or last
    within = sum(plan.warm_s <= s.at <= seconds for s in seen.settled)
    refused = [answer for answer in seen.answered if answer.status in REFUSED]
    late = sorted(seen.late) or [0.0]
    return LoadReport(
        offered=len(seen.late),
        sent=len(seen.answered),
        accepted=statuses[CREATED],
        refused=len(refused),
        refused_with_retry_after=sum(answer.says_when for answer in refused),
        answers={str(status): count for status, count in sorted(statuses.items())},
        confirmed=ways.pop(CONFIRMED, 0),
        cancelled=dict(sorted(ways.items())),
        unsettled=statuses[CREATED] - len(seen.settled),
        seconds=seconds,
        placed_s=seen.placed_s,
        last_settled_s=last,
        settled_per_s=within / max(seconds - plan.warm_s, TICK_S),
        http=latency(a.at - a.due for a in seen.answered if a.status and a.due >= plan.warm_s),
        end_to_end=latency(s.at - s.due for s in seen.settled if s.due >= plan.warm_s),
        late_p99_ms=late[int(len(late) * 0.99)] * 1000,
        late_max_ms=late[-1] * 1000,
        cpu_s=seen.cpu_s,
        ticks=tuple(ticks(seen)),
    )


def ticks(seen: Observed) -> Iterable[Tick]:
    accepted = _by_tick(answer.at for answer in seen.answered if answer.status == CREATED)
    refused = _by_tick(answer.at for answer in seen.answered if answer.status in REFUSED)
    settled = _by_tick(each.at for each in seen.settled)
    took: dict[int, list[float]] = {}
    for each in seen.settled:
        took.setdefault(int(each.due / TICK_S), []).append(each.at - each.due)
    backlog = 0
    for n in range(max([*accepted, *refused, *settled], default=-1) + 1):
        backlog += accepted[n] - settled[n]
        p50 = median(took[n]) * 1000 if n in took else None
        yield Tick(n * TICK_S, accepted[n], refused[n], settled[n], backlog, p50)


def _by_tick(instants: Iterable[float]) -> Counter[int]:
    return Counter(int(at / TICK_S) for at in instants)
