"""What operators see and do, by the real command on a real stack: dead letters, whys, repairs."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis import ids
from chassis.message import Record
from guarantees.services import BY_NAME
from saga_cli.log.reader import records
from saga_cli.stack.servers import Servers
from saga_cli.stack.services import Instance, Services
from shared_events.order import OrderCancellationRequested
from shared_events.payment import PaymentRefunded
from tests.support.records import a_record
from tests.support.saga import (
    Ended,
    changed,
    first_finding,
    operating,
    parked,
    raw_of,
    saga,
    sent,
    settles,
    token_of,
    why,
)
from tests.support.servers import private_stack, start_each
from tests.support.shop import checkout
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
AWAY = {
    "PAYMENT_PROVIDER": "stripe",
    "STRIPE_API_KEY": "sk_test_x",
    "STRIPE_API_BASE": "http://127.0.0.1:1",
}


@pytest.fixture(scope="module")
def system() -> Iterator[tuple[Services, Servers]]:
    with private_stack() as (services, servers):
        start_each(services)
        yield services, servers


@pytest.fixture
def services(system: tuple[Services, Servers]) -> Services:
    return system[0]


def refunded(order_id: str) -> PaymentRefunded:
    return PaymentRefunded(
        order_id=order_id,
        reason="customer",
        refused_by="order",
        captured_minor=1,
        refunded_minor=1,
        fee_minor=0,
        currency="EUR",
    )


def the_bad(kind: str) -> tuple[str, Record]:
    """A bad record for inventory, and the key under which it is parked."""
    order_id = ids.new_id()
    good = a_record(refunded(order_id))
    match kind:
        case "off its schema":
            return order_id, changed(good, b'{"order_id": 1}')
        case "of an unknown type":
            return order_id, changed(good, ce_type=b"payment.forgotten.v1")
        case "impossible in its state":
            return order_id, good
        case "no JSON":
            return order_id, changed(good, b"\xff\x00\x1b[31m")
        case "without a key":
            return "", Record(good.topic, 0, 0, None, good.value, good.headers)
        case _:
            long = secrets.token_hex(4000).encode()
            record = Record(good.topic, 0, 0, long, good.value, good.headers)
            return record.subject, record


@pytest.mark.parametrize(
    "kind",
    [
        "off its schema",
        "of an unknown type",
        "impossible in its state",
        "no JSON",
        "without a key",
        "with a key longer than any index takes",
    ],
)
def test_a_bad_message_is_kept_byte_for_byte_and_other_orders_flow_on(
    services: Services, kind: str
) -> None:
    key, bad = the_bad(kind)
    sent(services, bad)
    (letter,) = parked(services, "inventory", key)
    assert raw_of(letter["value"]) == bad.value
    assert raw_of(letter["record_key"]) == bad.key
    assert [(n, raw_of(raw)) for n, raw in letter["headers"]] == list(bad.headers)
    assert checkout(services).json()["state"] == "CONFIRMED"

    def copied() -> Any:
        found = asyncio.run(records(services.addresses.kafka, ["inventory.dead-letters"]))
        return [
            r
            for r in found
            if r.value == bad.value and r.headers[: len(bad.headers)] == bad.headers
        ]

    assert until(copied)
    discard = ("dead-letters", "discard", "inventory", key, "--reason", "a test", "--yes")
    assert operating(services, *discard).code == 0
    (action,) = operating(services, "dead-letters", "actions", "inventory", key, "--json").json
    assert action["action"] == "discard"


def test_a_field_that_nobody_knows_yet_is_no_error(services: Services) -> None:
    order_id = ids.new_id()
    good = a_record(OrderCancellationRequested(order_id=order_id, reason="customer"))
    assert good.value is not None
    more = json.dumps({**json.loads(good.value), "channel": "web"}).encode()
    sent(services, changed(good, more))
    noted = dict.fromkeys(BY_NAME, "Noted") | {"order": "Absent"}
    until(lambda: _states(services, order_id) == noted)
    assert why(services, order_id)["findings"] == []


def _states(services: Services, order_id: str) -> Any:
    result = operating(services, "why", order_id, "--json")
    return result.json["states"] if result.out else {}


def test_a_parked_message_is_seen_tried_discarded_and_what_waited_goes_on(
    services: Services,
) -> None:
    """A good order meets a bad message of its key at shipping, before its confirmation."""
    order_id = _an_order_that_waits_for(services, "shipping")
    of_another_lane = a_record(refunded(order_id))
    captured = replace(of_another_lane, topic="payment.forward")  # which shipping reads
    bad = changed(captured, b'{"order": "none"}', ce_type=b"payment.captured.v1")
    sent(services, bad)
    _start_again(services, "shipping")
    result = until(lambda: _waiting(why(services, order_id)))
    assert result["settled"]
    place = f"shipping {order_id}"
    assert result["findings"][0]["commands"] == [
        f"saga dead-letters show {place}",
        f"saga dead-letters redrive {place}",
    ]

    def letters(command: str, *more: str, **variables: str) -> Ended:
        words = ("dead-letters", command, "shipping", order_id, *more)
        return operating(services, *words, **variables)

    listed = operating(services, "dead-letters", "list", "shipping", "--json").json
    (head,) = [head for head in listed if head["key"] == order_id]
    assert (head["type"], head["attempts"], head["behind"]) == ("payment.captured.v1", 1, 1)
    tried = letters("redrive", "--dry-run")
    assert (tried.code, "would stay parked: malformed" in tried.out) == (1, True)
    assert letters("redrive").code == 1
    assert letters("show", "--json").json[0]["attempts"] == 2
    shown = letters("show").out
    assert "first error  malformed: order: " in shown
    assert '"order": "none"' in shown
    assert letters("discard", "--reason", "r").code == 2  # nobody said yes
    gone = letters("discard", "--reason", "sent by hand", "--yes")
    assert gone.code == 0
    assert "1 more waits" in gone.out
    tried = letters("redrive", "--dry-run")
    assert (tried.code, "would publish shipment.approved.v1" in tried.out) == (0, True)
    done = letters("redrive", "--note", "mended", SAGA_OPERATOR_TOKEN=token_of("bob"))
    assert (done.code, "is decided and publishes shipment.approved.v1" in done.out) == (0, True)
    assert settles(services, order_id)["states"]["shipping"] == "Approved"
    trail = [(a["by"], a["action"], a["note"]) for a in letters("actions", "--json").json]
    assert trail == [("ada", "discard", "sent by hand"), ("bob", "redrive", "mended")]
    assert "ada  discard  sent by hand" in letters("actions").out


def _waiting(result: dict[str, Any]) -> Any:
    """The diagnosis, once a message waits for the parked one."""
    heads = [
        f for f in result["findings"] if f["where"] == "parked" and "1 message waiting" in f["what"]
    ]
    return result if heads else None


def _an_order_that_waits_for(services: Services, service: str) -> str:
    """Stop a service and place an order; it is at the service's door when this returns."""
    services.of(service)[-1].process.stop()
    order_id: str = checkout(services, wait_s=0).json()["order_id"]
    before = {"shipping": ("payment", "Captured"), "payment": ("inventory", "Reserved")}
    neighbour, there = before[service]
    until(lambda: why(services, order_id)["states"][neighbour] == there)
    return order_id


def _start_again(services: Services, service: str, **variables: str) -> Instance:
    instance = services.of(service)[-1]
    unset = {name: value for name, value in instance.process.env.items() if name not in AWAY}
    instance.process.env = {**unset, **variables}
    instance.process.start()
    services.await_ready([instance])
    return instance


def test_all_keys_are_redriven_though_some_fail(services: Services) -> None:
    keys = [ids.new_id() for _ in range(3)]
    sent(services, *(a_record(refunded(key)) for key in keys))
    for key in keys:
        parked(services, "inventory", key)
    tried = operating(services, "dead-letters", "redrive", "inventory", "--all")
    assert tried.code == 1
    lines = [line for line in tried.out.splitlines() if "stays parked" in line]
    assert sorted(k for line in lines if (k := line.split()[1]) in keys) == sorted(keys)
    for key in keys:
        assert parked(services, "inventory", key)[0]["attempts"] == 2
        discard = ("dead-letters", "discard", "inventory", key, "--reason", "a test", "--yes")
        assert operating(services, *discard).code == 0
    assert operating(services, "dead-letters", "redrive", "inventory", "--all").code == 0


def test_a_settled_order_says_so_with_its_reason(services: Services) -> None:
    order_id = checkout(services, payment_token="tok_declined").json()["order_id"]
    result = settles(services, order_id)
    assert (result["state"], result["reason"], result["refused_by"]) == (
        "Cancelled",
        "card_declined",
        "payment",
    )
    shown = operating(services, "why", order_id).out
    assert f"Order {order_id} is CANCELLED: card_declined, by payment\n" in shown
    assert "Nobody has to act: it is settled." in shown


def test_an_unknown_order_is_one_line_and_exit_code_1(services: Services) -> None:
    result = operating(services, "why", "no-such-order")
    assert result == Ended(1, "", "saga: there is no order no-such-order\n")


def test_a_person_has_all_readers_of_a_topic_step_over_a_record(services: Services) -> None:
    words = ("dead-letters", "skip", "payment.forward", "0", "4000000", "--note", "a test")
    names, place = ("payment", "shipping"), "payment.forward:0:4000000"
    printed = "".join(f"{name} steps over {place} and parks it.\n" for name in names)
    assert operating(services, *words) == Ended(0, printed, "")
    assert "skip  a test" in operating(services, "dead-letters", "actions", "payment", place).out
    result = operating(services, *words, "--service", "loyalty")
    assert result == Ended(2, "", "saga: loyalty: it does not read payment.forward\n")


def test_a_wrong_token_is_one_line_and_exit_code_2(services: Services) -> None:
    for words in (("why", "x"), ("dead-letters", "list", "order"), ("expedite", "x")):
        result = operating(services, *words, SAGA_OPERATOR_TOKEN="wrong")
        assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)
        assert "the access token counts for nothing: it is no JWT" in result.err


def test_an_order_that_waits_for_a_hanging_service_is_found_there(services: Services) -> None:
    payment = services.of("payment")[-1].process
    payment.suspend()
    try:
        order_id = checkout(services, wait_s=0).json()["order_id"]
        until(lambda: why(services, order_id)["states"]["inventory"] == "Reserved")
        result = operating(services, "why", order_id)
    finally:
        payment.resume()
    assert "Next: payment\n  payment does not answer within 3 s; stock.reserved.v1" in result.out
    assert "  - restart payment where it runs\n" in result.out
    settles(services, order_id)


def test_an_effect_whose_provider_is_away_is_told_asked_again_and_settled_by_hand(
    services: Services,
) -> None:
    order_id = _an_order_that_waits_for(services, "payment")
    _start_again(services, "payment", **AWAY)
    result = until(lambda: _failed(first_finding(services, order_id)))
    assert result["service"] == "payment"
    assert "payment has Capture outstanding" in result["what"]
    asked = operating(services, "expedite", order_id)
    assert (asked.code, "payment asks for Capture" in asked.out) == (0, True)

    def resolve(outcome: str, *more: str) -> Ended:
        words = ("resolve", order_id, "--as", outcome, "--note", "seen at the bank", *more)
        return operating(services, *words)

    unknown = resolve("forgiven")
    assert (unknown.code, len(unknown.err.splitlines())) == (2, 1)
    assert "captured, declined, dispatched, refunded" in unknown.err
    nothing = resolve("refunded")
    assert (nothing.code, "the outstanding effect takes captured, declined" in nothing.err) == (
        1,
        True,
    )
    done = resolve("declined")
    assert (done.code, "publishes payment.declined.v1" in done.out) == (0, True)
    assert settles(services, order_id)["reason"] == "resolved_declined"
    assert resolve("declined").code == 1
    assert operating(services, "expedite", order_id).code == 1
    trail = operating(services, "dead-letters", "actions", "payment", order_id, "--json").json
    assert [(a["by"], a["action"], a["note"]) for a in trail if a["action"] == "resolve"] == [
        ("ada", "resolve", "seen at the bank")
    ]
    services.of("payment")[-1].process.stop()
    _start_again(services, "payment")


def _failed(finding: dict[str, Any]) -> Any:
    return finding if "last error" in finding.get("what", "") else None


def test_without_kafka_the_message_is_in_the_outbox_and_a_restart_lets_it_go(
    system: tuple[Services, Servers],
) -> None:
    services, servers = system
    servers.kafka.kill()
    order_id = checkout(services, wait_s=0).json()["order_id"]
    result = until(lambda: _without_kafka(first_finding(services, order_id)))
    assert (result["service"], result["where"]) == ("order", "outbox")
    assert result["what"].startswith("order.placed.v1 is in order's outbox")
    assert result["advice"][0] == "restart kafka where it runs"
    servers.restart(servers.kafka)
    settles(services, order_id)


def _without_kafka(finding: dict[str, Any]) -> Any:
    return finding if "Kafka does not answer" in finding.get("what", "") else None


def test_an_auditor_looks_and_changes_nothing(services: Services) -> None:
    audit = {"SAGA_OPERATOR_TOKEN": token_of("eve", "audit")}
    assert operating(services, "dead-letters", "list", "order", **audit).code == 0
    result = operating(services, "dead-letters", "redrive", "order", "o-1", **audit)
    assert (result.code, result.out) == (2, "")
    assert "order: the access token has not the scope operate" in result.err
    customer = {"SAGA_OPERATOR_TOKEN": token_of("alice", "orders")}
    result = operating(services, "dead-letters", "list", "order", **customer)
    assert (result.code, "has not the scope audit or operate" in result.err) == (2, True)


def test_services_that_ask_nobody_answer_no_operator(services: Services) -> None:
    closed = services.start("shipping", {"SHIPPING_AUTH": "off"})
    services.await_ready([closed])
    result = saga(
        *("dead-letters", "list", "shipping"),
        SAGA_SHIPPING_URL=closed.url,
        SAGA_OPERATOR_TOKEN="t",
    )
    lines = [line for line in closed.process.log.read_text().splitlines() if "auth_off" in line]
    shown = httpx.get(f"{closed.url}/metrics").text
    closed.process.stop()
    services.instances.remove(closed)
    why = "SHIPPING_AUTH is off, and it is recorded who does this"
    assert (result.code, result.err) == (2, f"saga: shipping: {why}\n")
    assert len(lines) == 1
    assert 'saga_auth_off{service="shipping"} 1.0' in shown
