"""Fifty thousand orders under faults, on all cores: no guarantee is broken, and every fault hits."""

import pytest

from simulation.plan import FAST_PATHS, FAULTS, Plan
from simulation.runs import cores, many
from simulation.summary import Summary

pytestmark = pytest.mark.long

RUNS = 200
ORDERS = 250
FIRST_SEED = 10_000


@pytest.mark.timeout(1500)
def test_orders_under_faults_break_no_guarantee() -> None:
    summary = Summary()
    plans = (Plan.drawn(seed, ORDERS) for seed in range(FIRST_SEED, FIRST_SEED + RUNS))
    for result in many(plans, cores()):
        assert not result.guarantee, (
            f"{result.what}: saga simulate --plan '{result.plan.to_json()}'"
        )
        summary.add(result)
    print(
        f"{summary.orders} orders, {summary.events} events, {summary.virtual_s / 3600:.1f} virtual hours,"
        f" {sum(summary.hits.values())} faults of {len(FAULTS)} kinds: {dict(summary.hits)}"
    )
    assert summary.orders == RUNS * ORDERS
    assert set(summary.states) == {"Confirmed", "Cancelled"}
    assert min(summary.states.values()) > summary.orders / 10
    assert summary.never_hit == []
    assert set(summary.switches) == {(path, on) for path in FAST_PATHS for on in (True, False)}
