"""Eighteen hundred orders under faults: no guarantee is broken, and every kind of fault hits."""

import re
from typing import Final

import pytest
from prometheus_client import REGISTRY

from chassis.topic_layout import TopicLayout
from simulation.plan import FAST_PATHS, FAULTS, Plan
from simulation.runs import run
from simulation.summary import Summary

pytestmark = pytest.mark.long(90)

RUNS = 24
PARTS = 2
UUID_LIKE: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}")
SERIES_MAX = 2_500
"""What five services have at /metrics between them, whoever orders what how often."""
ORDERS = 75
FIRST_SEED = 10_000


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("part", range(PARTS))
def test_orders_under_faults_break_no_guarantee(part: int) -> None:
    summary = Summary()
    for seed in range(FIRST_SEED + part, FIRST_SEED + RUNS, PARTS):
        result = run(Plan.drawn(seed, ORDERS))
        assert not result.guarantee, (
            f"{result.what}: saga simulate --plan '{result.plan.to_json()}'"
        )
        summary.add(result)
    print(
        f"{summary.orders} orders, {summary.events} events, {summary.virtual_s / 3600:.1f} virtual hours,"
        f" {sum(summary.hits.values())} faults of {len(FAULTS)} kinds: {dict(summary.hits)}"
    )
    assert summary.orders == RUNS * ORDERS // PARTS
    assert set(summary.states) == {"Confirmed", "Cancelled"}
    assert min(summary.states.values()) > summary.orders / 10
    assert summary.never_hit == []
    assert_no_label_grows_with_orders()
    assert set(summary.layouts) == set(TopicLayout)
    assert set(summary.switches) == {(path, on) for path in FAST_PATHS for on in (True, False)}


def assert_no_label_grows_with_orders() -> None:
    """Of thousands of orders, customers and SKUs none is in a label, and no set of series grows with them."""
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
    assert any(sample.name == "saga_events_decided_total" for sample in samples)
    assert len(samples) < SERIES_MAX, len(samples)
    values = {value for sample in samples for name, value in sample.labels.items() if name != "le"}
    assert [value for value in values if UUID_LIKE.search(value)] == []
