"""The simulated Redis passes the suites of the real one: their very tests, on another kind."""

import pytest

from loyalty_svc.service import SERVICE
from shared_events.shipping import ShipmentCreated
from tests.integration import test_operations, test_stores
from tests.integration.chassis_fixtures import Kind
from tests.simulation.loyalty import Loyalty
from tests.support.records import about

SUITES = (test_stores, test_operations)
FIXTURES = ("store", "parking")
for suite in SUITES:
    taken = (n for n in vars(suite) if n.startswith("test_") or n in FIXTURES)
    globals().update({name: getattr(suite, name) for name in taken})


@pytest.fixture
def name() -> str:
    return "redis"


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Kind:
    loyalty = Loyalty()
    loyalty.replace(monkeypatch)
    return Kind(
        SERVICE,
        loyalty.connect,
        lambda order: about(ShipmentCreated(order=order, shipment_id="S")),
    )
