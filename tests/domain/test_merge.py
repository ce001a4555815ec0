"""Rows that orders share, folded partition by partition and added up, are what one fold makes of all."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chassis.service import Service
from inventory_svc.service import SERVICE as INVENTORY
from loyalty_svc.service import SERVICE as LOYALTY
from order_svc.service import SERVICE as ORDER
from shared_events.catalog import CATALOG
from shared_events.inventory import (
    StockCommitted,
    StockReceived,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
    StockWrittenOff,
)
from shared_events.loyalty import (
    CustomerReinstated,
    CustomerSuspended,
    PointsAwarded,
    PointsDeducted,
)
from shared_events.order import ProductPriced
from shared_events.values import Line
from tests.support.records import an_order

PARTITIONS = 4
LINES = (Line(sku="CUP", quantity=2, unit_price_minor=500),)
Stories = list[list[Any]]


def of_an_order(number: int, end: str) -> list[Any]:
    order = an_order(f"order-{number}", lines=LINES)
    reserved, key = StockReserved(order=order), order.order_id
    committed = StockCommitted(order_id=key, lines=LINES)
    released = StockReleased(order_id=key, lines=LINES, reason="customer", refused_by="order")
    ends: dict[str, list[Any]] = {
        "held": [],
        "sold": [committed],
        "gone": [committed, StockShipped(order_id=key, lines=LINES)],
        "back": [released],
        "both": [committed, released],
    }
    return [reserved, *ends[end]]


def of_an_award(number: int, end: str) -> list[Any]:
    of: dict[str, Any] = {"order_id": f"order-{number}", "customer_id": "ada", "points": 7}
    awarded, deducted = PointsAwarded(**of), PointsDeducted(**of, reason="customer")
    again = PointsAwarded(**of, attempt=2)
    ends: dict[str, list[Any]] = {
        "held": [],
        "sold": [],
        "gone": [],
        "back": [deducted],
        "both": [deducted, again],
    }
    return [awarded, *ends[end]]


def folded(service: Service, stories: Iterable[list[Any]]) -> Mapping[str, Any]:
    shared: Mapping[str, Any] = {}
    for story in stories:
        own = service.initial
        for event in story:
            own, shared = service.split(service.evolve(service.with_shared(own, shared), event))
    return shared


def merge(service: Service, stories: Stories) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for partition in range(PARTITIONS):
        here = [story for story in stories if _partition(story) == partition]
        for key, value in folded(service, here).items():
            rows[key] = service.merge(rows[key], value) if key in rows else value
    return rows


def _partition(story: list[Any]) -> int:
    entry = CATALOG.entry_of(story[0])
    return sum(entry.subject_of(story[0]).encode()) % PARTITIONS


endings = st.lists(st.sampled_from(["held", "sold", "gone", "back", "both"]), max_size=12)
changes = st.lists(st.booleans(), max_size=4)


def of_a_product(kind: str, number: int, quantity: int) -> Any:
    of: dict[str, Any] = {"sku": "CUP", "quantity": quantity, "attempt": number}
    kinds: dict[str, Any] = {
        "in": partial(StockReceived, **of),
        "out": partial(StockWrittenOff, **of, reason="damaged"),
        "back": partial(StockReturned, **of),
    }
    return kinds[kind]()


@given(
    endings,
    st.lists(st.tuples(st.sampled_from(["in", "out", "back"]), st.integers(1, 9)), max_size=4),
)
def test_pieces_of_stock_add_up(ends: list[str], receipts: list[tuple[str, int]]) -> None:
    orders = [of_an_order(number, end) for number, end in enumerate(ends)]
    received = [
        of_a_product(kind, number, quantity) for number, (kind, quantity) in enumerate(receipts, 1)
    ]
    stories = [received, *orders] if received else orders
    assert merge(INVENTORY, stories) == folded(INVENTORY, stories)


@given(endings, changes)
def test_points_add_up_and_the_last_standing_counts(ends: list[str], standing: list[bool]) -> None:
    awards = [of_an_award(number, end) for number, end in enumerate(ends)]
    standings = [
        (CustomerSuspended if bad else CustomerReinstated)(customer_id="ada", attempt=number)
        for number, bad in enumerate(standing, 1)
    ]
    stories = [standings, *awards] if standings else awards
    assert merge(LOYALTY, stories) == folded(LOYALTY, stories)


def test_the_newest_price_counts() -> None:
    old, new = (
        folded(
            ORDER,
            [[ProductPriced(sku="CUP", name="Cup", price_minor=n, currency="EUR", attempt=n)]],
        )
        for n in (1, 2)
    )
    assert ORDER.merge(old["CUP"], new["CUP"]) == ORDER.merge(new["CUP"], old["CUP"]) == new["CUP"]
