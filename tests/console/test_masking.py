"""What of a payload is shown follows from the classification in its schema."""

from typing import Any

import pytest

from console.web.masking import MASK, masked
from shared_events.catalog import CATALOG
from tests.support.console_sample import ORDER_ID

ORDER: dict[str, Any] = {
    "order_id": ORDER_ID,
    "customer_id": "c_1",
    "lines": [{"sku": "RETRO-CLOCK", "quantity": 1, "unit_price_minor": 9899}],
    "payment_token": "tok_visa",
    "postal_code": "10115",
}


def test_personal_and_card_data_are_hidden_wherever_they_stand() -> None:
    shown = masked("order.placed.v1", {"order": ORDER})
    assert shown.payload == {"order": ORDER | {"payment_token": MASK, "postal_code": MASK}}
    assert shown.masked == {"order.payment_token": "card", "order.postal_code": "personal"}


def test_who_may_see_personal_data_sees_no_card_data() -> None:
    shown = masked("order.placed.v1", {"order": ORDER}, personal=True)
    assert shown.payload["order"]["postal_code"] == "10115"
    assert shown.payload["order"]["payment_token"] == MASK


@pytest.mark.parametrize("personal", [False, True])
@pytest.mark.parametrize("wire_type", ["order.placed.v1", "order.placed.v9", "nobody.knows.v1"])
def test_what_no_schema_classifies_is_hidden(wire_type: str, *, personal: bool) -> None:
    payload = {"nickname": "bob", "nested": [{"more": 1}], "order": {"unknown": {"a": True}}}
    shown = masked(wire_type, payload, personal=personal)
    assert shown.payload == {
        "nickname": MASK,
        "nested": [{"more": MASK}],
        "order": {"unknown": {"a": MASK}},
    }
    assert set(shown.masked.values()) == {"not classified"}


def test_an_empty_value_hides_nothing() -> None:
    payload = {"order": ORDER | {"payment_token": "", "postal_code": None}}
    assert masked("order.placed.v1", payload).masked == {}


@pytest.mark.parametrize("entry", CATALOG.entries, ids=lambda entry: entry.wire_type)
def test_events_on_compacted_topics_show_no_person(entry: Any) -> None:
    """They are in no log that the console keeps; if one came it would show none of it."""
    if entry.topic in CATALOG.compacted:
        fields = entry.event.__dataclass_fields__
        shown = masked(entry.wire_type, dict.fromkeys(fields, "x"))
        assert MASK in shown.payload.values()
