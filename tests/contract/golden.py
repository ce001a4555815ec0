"""Golden samples: one file an event version, as it was first published. Only ever added to.

`python -m tests.contract.golden` writes the samples that are missing and touches no other.
"""

import sys
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from chassis.events import Entry, Envelope, event_id
from shared_events.catalog import CATALOG
from shared_events.codec import encode
from shared_events.values import Line, Order

FOLDER = Path(__file__).parent / "wire"
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
ORDER_ID = "01948f2e-7a52-7d0f-9f0b-5a6a3f3d2c11"
LINES = (
    Line(sku="chair-oak", quantity=2, unit_price_minor=4_990),
    Line(sku="lamp.red_1", quantity=1, unit_price_minor=1_505),
)
ORDER = Order(
    order_id=ORDER_ID,
    customer_id="customer-7",
    lines=LINES,
    total_minor=11_485,
    currency="EUR",
    payment_token="tok_visa",
    country="DE",
    postal_code="10115",
    placed_at=AT,
    deadline=AT + timedelta(minutes=5),
)
VALUES: dict[str, Any] = {
    "attempt": 2,
    "carrier_ref": "CAR-1",
    "captured_minor": 11_485,
    "city": "Łódź",
    "currency": "EUR",
    "customer_id": "customer-7",
    "email": "ada@example.com",
    "fee_minor": 485,
    "lines": LINES,
    "name": "Zoë O'Neil",
    "order": ORDER,
    "order_id": ORDER_ID,
    "payment_token": "tok_visa",
    "points": 114,
    "postal_code": "90-001",
    "price_minor": 4_990,
    "provider_fee_minor": 185,
    "provider_ref": "ch_1",
    "pseudonym": "cus_01948f2e-7a52-7d0f-9f0b-5a6a3f3d2c12",
    "quantity": 40,
    "reason": "customer",
    "refund_minor": 11_000,
    "refunded_minor": 11_000,
    "refused_by": "order",
    "restocking_fee_minor": 300,
    "settled_by": "provider",
    "shipment_id": "shipment-1",
    "sku": "chair-oak",
    "street": "Rue de l'Été 5",
}


@dataclass(frozen=True)
class Golden:
    """A record as it is in Kafka, with text for bytes."""

    type: str
    key: str
    headers: dict[str, str]
    value: str

    @property
    def wire_headers(self) -> list[tuple[str, bytes]]:
        return [(name, text.encode()) for name, text in self.headers.items()]


def path_of(wire_type: str) -> Path:
    return FOLDER / f"{wire_type}.json"


def read(path: Path) -> Golden:
    return Golden(**from_json(path.read_bytes()))


def sample(entry: Entry) -> Golden:
    event = entry.event(**{field.name: VALUES[field.name] for field in fields(entry.event)})
    subject = entry.subject_of(event)
    envelope = Envelope(
        id=event_id(subject, entry.wire_type, getattr(event, "attempt", 1)),
        type=entry.wire_type,
        source=f"/{entry.owner}",
        subject=subject,
        time=AT,
        sequence=3,
        saga_id=subject,
        causation_id="0e8c1f4e-3b44-5c55-8f0e-2d7d3d1f7a01",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        event=event,
    )
    value, headers = encode(envelope)
    texts = {name: data.decode() for name, data in headers}
    return Golden(entry.wire_type, subject, texts, value.decode())


def write_missing() -> list[str]:
    """Add a sample of each type that has none; returns what was added."""
    missing = [entry for entry in CATALOG.entries if not path_of(entry.wire_type).exists()]
    for entry in missing:
        path_of(entry.wire_type).write_bytes(to_json(sample(entry), indent=2) + b"\n")
    return [entry.wire_type for entry in missing]


if __name__ == "__main__":
    sys.stdout.write("".join(f"added {wire_type}\n" for wire_type in write_missing()))
