"""Latencies from a microsecond to a minute, three digits; beyond a minute they count as a minute."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hdrh.histogram import HdrHistogram

LOWEST_US: Final = 1
HIGHEST_US: Final = 60_000_000
DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class Latency:
    """`encoded` is the whole histogram of microseconds, as HdrHistogram's log format has it."""

    count: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    encoded: str


def latency(seconds: Iterable[float]) -> Latency:
    histogram = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    for value in seconds:
        histogram.record_value(min(max(round(value * 1e6), LOWEST_US), HIGHEST_US))
    p50, p99, p999, most = (
        histogram.get_value_at_percentile(percent) / 1000 for percent in (50, 99, 99.9, 100)
    )
    return Latency(histogram.get_total_count(), p50, p99, p999, most, histogram.encode().decode())


def percentiles(found: Latency, percents: Iterable[float]) -> list[float]:
    """In milliseconds."""
    histogram = HdrHistogram.decode(found.encoded)
    return [histogram.get_value_at_percentile(percent) / 1000 for percent in percents]
