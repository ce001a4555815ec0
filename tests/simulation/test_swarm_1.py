"""Fifty thousand orders under faults, the first half: no guarantee is broken."""

import pytest

from tests.simulation.swarm import judge, simulated


@pytest.mark.timeout(1200)
def test_fifty_thousand_orders_under_faults_break_no_guarantee() -> None:
    judge(simulated(first_seed=10_000))
