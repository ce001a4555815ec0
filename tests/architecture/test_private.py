"""No event of a topic that is kept has a place for personal or card data."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chassis.events import Entry
from order_svc.messages import PlaceOrder
from order_svc.resources import Checkout
from saga_cli.demo import a_checkout
from saga_cli.schema.comparing import inlined
from saga_cli.topology import BY_NAME
from shared_events.catalog import CATALOG, CUSTOMERS, DELIVERY_DETAILS, PAYMENT_DETAILS
from shared_events.order import CustomerIdentified, DeliveryDetailsGiven, PaymentDetailsGiven
from shared_events.values import CLASSIFICATION
from tests.support.documents import document_of

KEPT: Final = [entry for entry in CATALOG.entries if entry.topic not in CATALOG.compacted]
FORMER: Final = {"order.payment_token": "card", "order.postal_code": "personal"}
"""Fields that events of release 0.2 and before have filled; nothing fills them any more."""
CLASSES: Final = {"public", "personal", "card", "secret"}
each_entry = pytest.mark.parametrize("entry", CATALOG.entries, ids=lambda entry: entry.wire_type)


def classified(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str | None]]:
    """The fields that hold values, by their paths, each with how it is classified."""
    for name, field in schema.get("properties", {}).items():
        at = f"{path}{name}"
        inner = field.get("items", field)
        if "properties" in inner:
            yield from classified(inner, f"{at}.")
        elif at != "order.unknown":  # what a newer publisher has added, and classified there
            yield at, field.get(CLASSIFICATION)


def fields_of(entry: Entry) -> dict[str, str | None]:
    return dict(classified(inlined(entry.adapter.json_schema())))


@each_entry
def test_each_field_of_an_event_is_classified(entry: Entry) -> None:
    found = fields_of(entry)
    assert found
    assert {path for path, kind in found.items() if kind not in CLASSES} == set()


@pytest.mark.parametrize("entry", KEPT, ids=lambda entry: entry.wire_type)
def test_an_event_that_is_kept_has_no_field_for_personal_or_card_data(entry: Entry) -> None:
    private = {path: kind for path, kind in fields_of(entry).items() if kind != "public"}
    assert private.items() <= FORMER.items()


def test_nothing_fills_the_fields_of_former_events() -> None:
    commanded = {field.name for field in fields(PlaceOrder)}
    assert commanded.isdisjoint(path.removeprefix("order.") for path in FORMER)


def test_personal_and_card_data_have_events_of_their_own_on_compacted_topics() -> None:
    private = {e.event: e.topic for e in CATALOG.entries if e.topic in CATALOG.compacted}
    assert private == {
        CustomerIdentified: CUSTOMERS,
        DeliveryDetailsGiven: DELIVERY_DETAILS,
        PaymentDetailsGiven: PAYMENT_DETAILS,
    }
    assert set(private.values()) == CATALOG.compacted
    for event in private:
        kinds = set(fields_of(CATALOG.by_event[event]).values())
        assert kinds & {"personal", "card"}, "else it may be kept with all others"


PUBLIC_IN_APIS: Final = frozenset(
    re.findall(
        r"\w+",
        """
    action actions at attempt attempts available behind by bytes calls_again_at cancellation_refused captured
    captured_minor carrier_ref circuits code commit committed consumer country currency deadline delivery
    detail dry_run due_at effect effects error errors failing fee_minor field first_error headers
    heads heard id key keys kind knows lag last_error last_refusal last_tried_at lines may_be_resolved_as
    message needs_attention next note offset oldest_s on_hand order_id orders outbox outcome
    owed_since parked parked_at partition placed_at points price_minor provider provider_fee_minor
    provider_ref pseudonym published quantity reads ready reason reasons record_key reference refund_minor
    refunded_minor refusals refused refused_at refused_by relay reserved resolutions
    restocking_fee_minor returned rows said service settled_by shipment_id shipped since sku started_at state
    status suspended timeline timers title topic total_minor tries type unit_price_minor value version why
    with_reference writes
    """,
    )
)
"""Fields of requests and answers that identify nobody: a new one is added, or classified in its model."""
PUBLIC_NAMES: Final = {"Price.name", "Product.name", "Captured.customer_id"}
"""Of things; the last is a pseudonym."""
IN_CONFIDENCE: Final = {
    *(f"Checkout.{name}" for name in ("customer_id", "payment_token", "postal_code")),
    *(f"Delivery.{name}" for name in ("name", "street", "city", "email")),
    *(f"{model}.customer_id" for model in ("Customer", "Order", "OrderWithTimeline")),
}


@pytest.mark.parametrize("service", BY_NAME)
def test_each_field_of_an_api_is_classified(service: str) -> None:
    models = document_of(service)["components"]["schemas"]
    found = {
        f"{model}.{name}": field.get(CLASSIFICATION)
        for model, schema in models.items()
        for name, field in schema.get("properties", {}).items()
    }
    is_public = {at for at in found if at.partition(".")[2] in PUBLIC_IN_APIS} | PUBLIC_NAMES
    assert {at for at in found.keys() - is_public if found[at] not in CLASSES - {"public"}} == set()
    assert {at for at, kind in found.items() if kind} <= IN_CONFIDENCE
    assert IN_CONFIDENCE & found.keys() == {at for at, kind in found.items() if kind}


def luhn(digits: str) -> str:
    """The check digit (ISO/IEC 7812-1) of a card number's other digits."""
    doubled = [int(d) * 2 if n % 2 else int(d) for n, d in enumerate(reversed(digits), 1)]
    return str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def card_number(digits: str, separator: str) -> str:
    number = digits + luhn(digits)
    return separator.join(number[n : n + 4] for n in range(0, len(number), 4))


def test_the_check_digit_is_the_known_one() -> None:
    assert card_number("411111111111111", "") == "4111111111111111"
    assert card_number("424242424242424", " ") == "4242 4242 4242 4242"


@given(
    st.text("0123456789", min_size=12, max_size=18),
    st.sampled_from(("", " ", "-")),
    st.sampled_from(("", "tok_", "tok_visa_")),
)
def test_no_card_number_passes_for_a_payment_token(
    digits: str, separator: str, prefix: str
) -> None:
    body = a_checkout(payment_token=prefix + card_number(digits, separator))
    with pytest.raises(ValidationError) as caught:
        Checkout.model_validate(body)
    assert [error["loc"] for error in caught.value.errors()] == [("payment_token",)]


def test_a_token_passes() -> None:
    assert Checkout.model_validate(a_checkout()).payment_token == "tok_visa"
