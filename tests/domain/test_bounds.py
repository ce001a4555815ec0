"""Amounts, quantities and points stay within what JSON, a database and Redis keep exactly, also added up."""

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from chassis.decision import Decision
from chassis.events import Entry
from inventory_svc.domain import PIECES_MAX, Level
from inventory_svc.messages import ReceiveStock, ReturnStock, SetStock, WriteOffStock
from inventory_svc.service import SERVICE
from loyalty_svc.domain import POINTS_MAX
from payment_svc.domain import Captured, Policy, fees
from shared_events.catalog import CATALOG
from shared_events.codec import decode, encode
from shared_events.inventory import StockReceived, StockReturned
from shared_events.shipping import ShipmentCancelled
from shared_events.values import COUNT_MAX, EXACT_MAX
from tests.contract.golden import sample
from tests.domain.builders import IN_TIME, shipped
from tests.domain.samples.inventory import SOLD
from tests.domain.support import folded, given

LIMITED: Final = [(entry, name) for entry in CATALOG.entries for name, *_ in entry.limits]
PIECES: Final = st.integers(1, 10**9) | st.just(10**9)


def test_what_is_added_up_is_exact() -> None:
    assert max(PIECES_MAX, POINTS_MAX) * 5 < EXACT_MAX


def test_no_more_pieces_come_in_than_can_be_counted() -> None:
    full = StockReceived(sku="CUP", quantity=PIECES_MAX - 5)
    again = StockReceived(sku="CUP", quantity=5, attempt=2)
    given(SERVICE, full).when(ReceiveStock(sku="CUP", quantity=5)).then(again)
    given(SERVICE, full).when(ReceiveStock(sku="CUP", quantity=6)).then_refused("too_many_pieces")
    counted = SetStock(sku="CUP", on_hand=PIECES_MAX + 1)
    given(SERVICE, full).when(counted).then_refused("too_many_pieces")


def test_no_more_pieces_are_taken_back_than_can_be_counted() -> None:
    """They may go out and come back for ever: what is on the shelf says nothing of it."""
    (line,) = shipped().lines
    back = StockReturned(sku=line.sku, quantity=line.quantity, attempt=2)
    state = folded(SERVICE, (*SOLD, shipped(), back))
    level = replace(state.levels[line.sku], shipped=10, returned=PIECES_MAX - 3)
    state = state._replace(levels={line.sku: level})
    for quantity, code in ((3, ""), (4, "too_many_pieces")):
        answer = SERVICE.decide(state, ReturnStock(sku=line.sku, quantity=quantity), IN_TIME)
        assert getattr(answer, "code", "") == code


@for_any(
    st.lists(
        st.builds(ReceiveStock, sku=st.just("CUP"), quantity=PIECES)
        | st.builds(SetStock, sku=st.just("CUP"), on_hand=st.integers(0, 10**12))
        | st.builds(WriteOffStock, sku=st.just("CUP"), quantity=PIECES, reason=st.just("damaged"))
        | st.builds(ReturnStock, sku=st.just("CUP"), quantity=PIECES),
        max_size=12,
    ),
    st.integers(0, PIECES_MAX),
    st.integers(0, PIECES_MAX),
)
def test_no_count_of_a_product_ever_passes_its_limit(
    commands: list[Any], at_first: int, gone: int
) -> None:
    gone = min(gone, PIECES_MAX - at_first)
    level = Level(available=at_first, shipped=gone, returned=gone, receipts=1)
    state = folded(SERVICE, ())._replace(levels={"CUP": level})
    for command in commands:
        answer = SERVICE.decide(state, command, IN_TIME)
        for event in answer.events if isinstance(answer, Decision) else ():
            state = SERVICE.evolve(state, event)
        level = state.levels["CUP"]
        assert 0 <= level.received <= PIECES_MAX
        assert max(level.available, level.shipped, level.returned) <= PIECES_MAX


@for_any(
    captured=st.integers(0, EXACT_MAX),
    restocking=st.integers(0, EXACT_MAX),
    bps=st.integers(0, 10_000),
    fixed=st.integers(0, EXACT_MAX),
    currency=st.sampled_from(("EUR", "JPY", "KWD", "ISK")),
)
def test_fees_and_refund_are_what_was_captured_whatever_the_amounts(
    captured: int, restocking: int, bps: int, fixed: int, currency: str
) -> None:
    policy = Policy(provider_fee_bps=bps, provider_fee_fixed_minor=fixed)
    undone = ShipmentCancelled(
        order_id="o", reason="customer", refused_by="order", restocking_fee_minor=restocking
    )
    state = Captured(captured_minor=captured, currency=currency, provider_ref="p")
    for_stock, for_provider = fees(undone, state, policy)
    assert min(for_stock, for_provider) >= 0
    assert 0 <= captured - for_stock - for_provider <= EXACT_MAX


@pytest.mark.parametrize(
    ("entry", "name"), LIMITED, ids=lambda part: getattr(part, "wire_type", part)
)
def test_no_event_leaves_with_a_number_that_nobody_would_read(entry: Entry, name: str) -> None:
    golden = sample(entry)
    envelope = decode(golden.value.encode(), golden.wire_headers)
    ((least, most),) = ((least, most) for n, least, most in entry.limits if n == name)
    for wrong in (least - 1, most + 1, 2**63):
        event = replace(envelope.event)
        object.__setattr__(event, name, wrong)  # no rule of an event's own is asked
        with pytest.raises(OverflowError, match=f"{name} is beyond its limits"):
            encode(replace(envelope, event=event))
    assert most in {EXACT_MAX, COUNT_MAX}


def test_every_whole_number_of_an_event_has_its_limits_when_it_leaves() -> None:
    for entry in CATALOG.entries:
        fields = entry.adapter.json_schema()["properties"].items()
        numbers = {name for name, schema in fields if schema.get("type") == "integer"}
        assert {name for name, *_ in entry.limits} == numbers
