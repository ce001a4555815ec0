"""What each service states that it reads of its neighbours, held against what these publish."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from pydantic_core import from_json

from guarantees.declared import service_of
from guarantees.services import BY_NAME
from saga_cli.deploy.contracts import broken, contracts_of, path_of, stored
from saga_cli.deploy.released import reads_of, writes_of
from saga_cli.schema.comparing import inlined
from saga_cli.schema.snapshot import Vocabulary
from tests.contract.golden import path_of as golden_of
from tests.contract.golden import read

ROOT: Final = Path(__file__).parents[2]
PAIRS: Final = [
    (spec.name, path.stem)
    for spec in BY_NAME.values()
    for path in sorted((ROOT / spec.module / "contracts").glob("*.json"))
]
each_pair = pytest.mark.parametrize(("consumer", "producer"), PAIRS)


def contract(consumer: str, producer: str) -> Vocabulary:
    found = stored(ROOT, consumer, producer)
    assert found
    return found


@each_pair
def test_a_producer_publishes_what_its_consumers_read(consumer: str, producer: str) -> None:
    writes = writes_of(service_of(producer))
    assert list(broken(contract(consumer, producer), writes)) == []


@each_pair
def test_what_a_producer_has_published_is_what_its_consumers_read(
    consumer: str, producer: str
) -> None:
    """Its samples are as its events are on the wire."""
    for wire_type, event in contract(consumer, producer).items():
        schema = Draft202012Validator(inlined(event.schema))
        schema.validate(from_json(read(golden_of(wire_type)).value))


def test_there_is_a_contract_for_each_neighbour_and_no_other() -> None:
    wanted = {
        path_of(ROOT, name, producer)
        for name in BY_NAME
        for producer in contracts_of(name, reads_of(service_of(name)))
    }
    assert {path_of(ROOT, *pair) for pair in PAIRS} == wanted
    assert stored(ROOT, "order", "shipping") is None


WRITES: Final = writes_of(service_of("payment"))
DECLINED: Final = "payment.declined.v1"


def spoilt(**changes: Any) -> Vocabulary:
    return {**WRITES, DECLINED: replace(WRITES[DECLINED], **changes)}


def with_fields(change: Any) -> dict[str, Any]:
    """The schema of the event, changed."""
    schema: dict[str, Any] = deepcopy(dict(inlined(WRITES[DECLINED].schema)))
    change(schema)
    return schema


def newer() -> Vocabulary:
    """The producer has gone on to a version that this consumer does not read."""
    return {name: e for name, e in WRITES.items() if name != DECLINED} | {
        "payment.declined.v2": replace(WRITES[DECLINED], reads=(DECLINED,))
    }


def cases() -> Iterator[tuple[str, Vocabulary, str]]:
    lost = {name: event for name, event in WRITES.items() if name != DECLINED}
    yield "gone", lost, f"{DECLINED} is read, and not published"
    yield "newer", newer(), f"payment.declined.v2 is published, and {DECLINED} is the newest"
    yield "elsewhere", spoilt(topic="payment.other"), f"{DECLINED} is published in payment.other"
    yield "key", spoilt(key="payment_id"), f"{DECLINED}: its key is payment_id"
    less = with_fields(lambda schema: schema["properties"].pop("reason"))
    yield "field", spoilt(schema=less), f"{DECLINED}: reason is needed, and is not there"
    other = with_fields(lambda schema: schema["properties"].update(reason={"type": "integer"}))
    yield "type", spoilt(schema=other), f"{DECLINED}: reason is integer where string is read"


CASES: Final = {name: (writes, why) for name, writes, why in cases()}


@pytest.mark.parametrize("name", CASES)
def test_what_a_consumer_would_stumble_over_is_found(name: str) -> None:
    writes, why = CASES[name]
    (found,) = broken(contract("inventory", "payment"), writes)
    assert found.startswith(why)


def test_what_a_consumer_does_not_read_may_change() -> None:
    more = with_fields(lambda schema: schema["properties"].update(note={"type": "string"}))
    others = {name: event for name, event in spoilt(schema=more).items() if "refund_" not in name}
    assert len(others) < len(WRITES)
    assert list(broken(contract("inventory", "payment"), others)) == []
    assert (
        list(
            broken(
                {DECLINED: replace(WRITES[DECLINED], former=("payment.old",))},
                spoilt(topic="payment.old"),
            )
        )
        == []
    )
    ahead = {"payment.declined.v2": replace(WRITES[DECLINED], reads=(DECLINED,))}
    assert list(broken(ahead, WRITES)) == [], "a consumer that reads both versions goes first"
