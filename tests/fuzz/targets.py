"""What is fuzzed: by name the grammar of a text, and what has to hold whatever text it is."""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from chaos.fake_stripe import SECRET, signed
from chassis import tracing
from chassis.events import MalformedError
from chassis.http import IdempotencyKeyHeader, Problem, preferences
from chassis.kafka import PARTITIONS
from chassis.message import Message, Parked
from order_svc.api import CURSOR, WAIT_MAX_S, Cursor, wait_of
from payment_svc.stripe_webhook import hint_in, verified
from shared_events.catalog import CATALOG
from shared_events.codec import decode, encode
from tests.chassis.test_http_rules import ask
from tests.contract.golden import sample
from tests.contract.test_hostile_records import RESERVED, record_of, with_header
from tests.fuzz.grammars import HEADER, joined, listed
from tests.support.problems import problem_of
from tests.support.records import TRACE, message_of
from tests.support.spans import recorded_spans

HEX: Final = "0123456789abcdef"
WORD: Final = st.text("!#$%&'*+.^_`|~0123456789ABCxyz-", min_size=1, max_size=6)
QUOTED: Final = st.text('ab ,;="\\', max_size=8).map(
    lambda text: '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
)
NUMBER: Final = st.integers(0, 10**20).map(str)
KEY: Final[TypeAdapter[str | None]] = TypeAdapter(IdempotencyKeyHeader)
CURSORS: Final[TypeAdapter[str]] = TypeAdapter(Cursor)
W3C: Final = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.DOTALL)


@dataclass(frozen=True)
class Target:
    """`check` raises AssertionError for an outcome that is none of the named ones, or lets an error out."""

    valid: st.SearchStrategy[str]
    check: Callable[[str], None]


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=count, max_size=count)


def asked(method: str, path: str, body: Any = None, **headers: str) -> None:
    """No answer of an app as each service has it is a 5xx, and each refusal is a problem."""
    raw = {n.replace("_", "-").encode(): v.encode("latin-1", "replace") for n, v in headers.items()}
    content = None if body is None else to_json(body)
    answer = asyncio.run(ask(method, path, headers=raw, content=content))
    assert not answer.is_server_error, answer.text
    assert answer.is_success or problem_of(answer)


def check_prefer(text: str) -> None:
    assert all(name and name == name.lower() for name in preferences([text]))
    seconds = wait_of([text])
    assert seconds is None or 0 <= seconds <= WAIT_MAX_S


def check_key(text: str) -> None:
    try:
        key = KEY.validate_python(text)
    except ValidationError:
        return
    assert key is not None
    assert 1 <= len(key) <= len(text)
    assert key.isascii()
    assert key.isprintable()


def check_traceparent(text: str) -> None:
    context = tracing.carried(text)
    assert tracing.carried(context) == context
    assert context == "" or W3C.fullmatch(context)
    assert len(tracing.trace_id_of(context)) in {0, 32}
    with recorded_spans():
        asked("GET", "/things/x", traceparent=text)


def check_tracestate(text: str) -> None:
    context = tracing.carried(TRACE, text)
    assert tracing.carried(*context.split(" ", 1)) == context
    assert len(context) <= len(TRACE) + 1 + 512
    assert context.isascii()
    with recorded_spans():
        asked("GET", "/things/x", traceparent=TRACE, tracestate=text)


def check_authorization(text: str) -> None:
    asked("GET", "/ops/orders?key=x", Authorization=text)


def check_content_type(text: str) -> None:
    asked("POST", "/checkout", {"name": "a"}, Content_Type=text)


def check_signature(text: str) -> None:
    """None of them is signed with our secret."""
    with pytest.raises(Problem) as refused:
        verified(b'{"object": "event"}', text, (SECRET,))
    assert refused.value.code == "bad_signature"


def check_webhook(text: str) -> None:
    body = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    content, headers = signed(body)
    try:
        hint = hint_in(verified(content, headers["stripe-signature"], (SECRET,)))
    except Problem as problem:
        assert problem.code == "malformed_webhook"  # noqa: PT017 - it is one of two ways to end
        return
    if hint is not None:
        assert hint.order_id.isprintable()
        assert isinstance(hint.money.amount_minor, int)


def check_cursor(text: str) -> None:
    try:
        cursor = CURSORS.validate_python(text)
    except ValidationError:
        return
    if CURSOR.fullmatch(cursor):
        assert len(cursor) == 36
        assert cursor.isascii()


def check_attribute(text: str) -> None:
    """`name=value` in place of an attribute of an event, or beside them."""
    name, _, value = text.partition("=")
    raw = value.encode("utf-8", "surrogatepass")
    read(with_header(record_of(RESERVED), name, raw))


def check_event(text: str) -> None:
    """`type value`: what the value of an event of the type is spoilt to."""
    wire_type, _, value = text.partition(" ")
    entry = CATALOG.by_type.get(wire_type, RESERVED)
    raw = value.encode("utf-8", "surrogatepass")
    read(replace(record_of(entry), value=raw))


def read(record: Any) -> None:
    """An event that is read is written as it was read; else there is a reason, without the data."""
    outcome = message_of(record, PARTITIONS)
    if isinstance(outcome, Parked):
        assert outcome.reason.startswith("malformed: ")
        assert len(outcome.reason) < 600
        return
    assert isinstance(outcome, Message)
    envelope = decode(record.value, record.headers)
    try:
        value, headers = encode(replace(envelope, saga_id="s", causation_id="c", traceparent=""))
        again = decode(value, headers)
    except MalformedError as error:
        raise AssertionError(f"what was read can't be written: {error}") from error
    assert again.event == envelope.event


WEBHOOK: Final = {
    "id": "evt_1",
    "object": "event",
    "type": "payment_intent.succeeded",
    "data": {
        "object": {
            "id": "pi_1",
            "object": "payment_intent",
            "status": "succeeded",
            "amount": 100,
            "amount_received": 100,
            "currency": "eur",
            "metadata": {"order_id": "o-1", "effect": "o-1:capture:1"},
        }
    },
}
REFUND: Final = {
    **WEBHOOK,
    "type": "refund.updated",
    "data": {
        "object": {
            "id": "re_1",
            "object": "refund",
            "status": "failed",
            "failure_reason": "lost_or_stolen_card",
            "amount": 100,
            "currency": "eur",
            "payment_intent": "pi_1",
            "metadata": {"order_id": "o-1", "effect": "o-1:refund:1"},
        }
    },
}
ATTRIBUTES: Final = tuple(f"{n}={v}" for n, v in sample(RESERVED).headers.items())
VALUES: Final = tuple(f"{e.wire_type} {sample(e).value}" for e in CATALOG.entries)
PREFERENCE: Final = joined(
    WORD | st.sampled_from(("wait", "Wait ", "respond-async")),
    st.just("") | joined(st.sampled_from(("=", " = ")), WORD | QUOTED | NUMBER),
    st.just("") | joined(";", WORD, "=", QUOTED),
)
TARGETS: Final = {
    "Prefer": Target(listed(PREFERENCE), check_prefer),
    "Idempotency-Key": Target(WORD | QUOTED | HEADER, check_key),
    "traceparent": Target(
        joined(digits(2), "-", digits(32), "-", digits(16), "-", digits(2)), check_traceparent
    ),
    "tracestate": Target(listed(joined(WORD, "=", WORD), ","), check_tracestate),
    "Authorization": Target(
        joined(st.sampled_from(("Bearer ", "bearer ", "Basic ", "")), WORD), check_authorization
    ),
    "Content-Type": Target(
        joined("application/", st.sampled_from(("json", "a+json", "xml")), "; charset=", WORD),
        check_content_type,
    ),
    "Stripe-Signature": Target(
        listed(joined(st.sampled_from(("t=", "v1=", "v0=")), NUMBER | digits(64)), ","),
        check_signature,
    ),
    "webhook": Target(st.sampled_from((json.dumps(WEBHOOK), json.dumps(REFUND))), check_webhook),
    "cursor": Target(st.uuids().map(str), check_cursor),
    "attribute": Target(st.sampled_from(ATTRIBUTES), check_attribute),
    "event": Target(st.sampled_from(VALUES), check_event),
}
