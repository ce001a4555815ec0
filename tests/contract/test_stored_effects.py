"""Effects and timers as they are stored: their names and ids are what rows and providers know them by.

A line is only ever added: rows of earlier releases wait in databases, and a provider that is asked by
another id does again what it has done.
"""

from dataclasses import replace
from typing import Any, Final

import pytest

from chassis.decide import Snapshot, decide_batch, effect_of
from chassis.message import Parked
from chassis.service import Resolution, Service
from payment_svc.messages import Capture, Refund
from payment_svc.service import SERVICE
from shared_events.inventory import StockReserved
from shipping_svc.messages import Book
from tests.domain.samples.all import BY_SERVICE
from tests.support.records import a_message, an_order

STORED: Final = {
    ("order", "DeadlinePassed"): "o-1:deadlinepassed:1",
    ("payment", "Capture"): "o-1:capture:1",
    ("payment", "Refund"): "o-1:refund:1",
    ("shipping", "Book"): "o-1:book:1",
    ("shipping", "CancelBooking"): "o-1:cancelbooking:1",
    ("shipping", "DispatchDue"): "o-1:dispatchdue:1",
    ("shipping", "HandOver"): "o-1:handover:1",
}
REFUND: Final = Refund(order_id="o-1", amount_minor=1, currency="EUR", provider_ref="p", attempt=3)


class TakePayment(Capture):
    """What a later release may call a capture."""


def with_effects(**changes: Any) -> Service:
    return replace(SERVICE, resolutions={}, **changes)


def test_effects_are_stored_under_the_names_and_ids_that_they_always_had() -> None:
    result = {
        (samples.service.name, name): samples.service.effect_id("o-1", kind, 1)
        for samples in BY_SERVICE.values()
        for name, kind in samples.service.effect_kinds.items()
    }
    assert result == STORED


def test_a_row_says_which_attempt_it_is() -> None:
    row = effect_of(SERVICE, "o-1", REFUND, "")
    assert (row.id, row.kind, row.attempt) == ("o-1:refund:3", "Refund", 3)
    assert row.needs_attention


def test_a_class_that_is_renamed_is_stored_as_before() -> None:
    service = with_effects(effects={"Capture": TakePayment})
    assert service.kind_of(TakePayment) == "Capture"
    assert service.effect_id("o-1", TakePayment, 1) == "o-1:capture:1"


def test_a_name_that_is_replaced_is_still_read_and_its_ids_stay() -> None:
    service = with_effects(
        effects={"Charge": TakePayment, "Refund": Refund},
        former_kinds={"Capture": "Charge", "Take": "Charge"},
    )
    assert service.kind_of(TakePayment) == "Charge"
    assert service.effect_id("o-1", TakePayment, 1) == "o-1:capture:1"
    assert service.stored_kinds(["Charge"]) == ("Charge", "Capture", "Take")
    assert service.stored_kinds(["Refund"]) == ("Refund",)
    assert {name for name, kind in service.effect_kinds.items() if kind is TakePayment} == {
        "Charge",
        "Capture",
        "Take",
    }
    assert [service.present_kind(name) for name in ("Take", "Refund")] == ["Charge", "Refund"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"effects": {"": Capture}}, ""),
        ({"effects": {"Cap:ture": Capture}}, "Cap:ture"),
        ({"effects": {"Capture": Capture, "Take": Capture}}, "Capture"),
        ({"effects": {"Capture": Capture, "CAPTURE": Refund}}, "capture"),
        ({"effects": {"Capture": Capture}, "timers": {"Capture": Refund}}, "capture"),
        ({"effects": {"Capture": Capture}, "former_kinds": {"Capture": "Capture"}}, "capture"),
        ({"effects": {"Capture": Capture}, "former_kinds": {"Old": "New"}}, "New"),
        (
            {
                "effects": {"Capture": Capture},
                "resolutions": {"booked": Resolution(Book, lambda _o, _r: None)},
            },
            "Book",
        ),
    ],
)
def test_a_service_whose_effects_have_no_name_of_their_own_is_refused(
    changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=f"payment: effects need one name each: .*{named}"):
        replace(SERVICE, **{"resolutions": {}, "timers": {}, **changes})


def test_an_effect_that_is_not_declared_is_not_stored_under_a_name_that_nobody_reads() -> None:
    service = with_effects(effects={"Refund": Refund})
    message = a_message(StockReserved(order=an_order()))
    result = decide_batch(service, Snapshot(), [message])
    assert result.outcomes == [
        Parked("ValueError: payment declares no effect or timer Capture"),
    ]
    assert result.effects == []
