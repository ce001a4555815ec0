"""Half of the hundred thousand orders that every test run simulates, so that two cores share them."""

from simulation.plan import FAULTS, Plan
from simulation.runs import run
from simulation.summary import Summary

RUNS = 200
ORDERS = 250


def simulated(first_seed: int) -> Summary:
    """As many runs from the seed on, up to the first violation."""
    summary = Summary()
    for seed in range(first_seed, first_seed + RUNS):
        summary.add(run(Plan.drawn(seed, ORDERS)))
        assert not summary.failures, (
            f"{summary.failures[0].what}: saga simulate --plan '{summary.failures[0].plan.to_json()}'"
        )
    print(
        f"{summary.orders} orders, {summary.events} events, {summary.virtual_s / 3600:.1f} virtual hours,"
        f" {sum(summary.hits.values())} faults of {len(FAULTS)} kinds: {dict(summary.hits)}"
    )
    return summary


def judge(summary: Summary) -> None:
    """All orders settled, both ways, and every kind of fault met something on its way."""
    assert summary.orders == RUNS * ORDERS
    assert set(summary.states) == {"Confirmed", "Cancelled"}
    assert min(summary.states.values()) > summary.orders / 10
    assert summary.never_hit == []
