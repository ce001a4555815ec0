"""What Stripe tells by webhook: decided under the id of the outcome that a call would have had.

So webhook and polling agree in any order, and one that comes again changes nothing. A webhook is
only a hint about what we asked for: what it says of money has to be what our own row says.
"""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

import stripe
import structlog
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel

from chassis import clock, tracing
from chassis.effects import outcome_id
from chassis.events import UPCASTING
from chassis.http import PUBLIC, GuardedRoute, Problem, open_to, refusals, text
from chassis.message import Decided, Message, Parked
from chassis.postgres import PostgresStore
from chassis.process.runtime import Node
from payment_svc import stripe_outcomes as outcomes
from payment_svc.domain import (
    INITIAL,
    Absent,
    Captured,
    Capturing,
    Declined,
    Noted,
    Refunded,
    Refunding,
    State,
)
from payment_svc.messages import CaptureDeclined, CaptureSucceeded, RefundRefused
from payment_svc.provider import CaptureOutcome, RefundOutcome
from payment_svc.settings import StripeSettings

log = structlog.get_logger()
TOLERANCE_S: Final = 300
OF_INTENTS: Final = frozenset(
    {"payment_intent.succeeded", "payment_intent.canceled", "payment_intent.payment_failed"}
)
OF_REFUNDS: Final = frozenset({"refund.updated", "refund.failed", "charge.refund.updated"})


EVENT: Final = {
    "application/json": {
        "schema": {
            "type": "object",
            "examples": [{"id": "evt_1", "object": "event", "type": "refund.updated"}],
        }
    }
}
Signature = Annotated[
    str, text(4096, 0), Header(alias="Stripe-Signature", description="Stripe's own.")
]
WebhookStatus: TypeAlias = Literal["decided", "ignored", "repeated"]


class Answer(BaseModel):
    status: WebhookStatus


@dataclass(frozen=True, slots=True)
class Money:
    amount_minor: int
    currency: str
    intent: str = ""


@dataclass(frozen=True, slots=True)
class WebhookOutcome:
    """An outcome of an effect of ours, and the money that it is about."""

    order_id: str
    effect_id: str
    kind: str
    outcome: CaptureOutcome | RefundOutcome
    money: Money


def routes(node: Node, store: PostgresStore, settings: StripeSettings) -> APIRouter:
    router = APIRouter(tags=["webhooks"], route_class=GuardedRoute)

    @router.post(
        "/webhooks/stripe",
        summary="An event of Stripe's",
        responses=refusals(
            _403="No secret is set to check signatures with (`webhooks_off`).",
            _409="It could not be decided (`webhook_undecided`).",
        ),
        openapi_extra={"requestBody": {"required": True, "content": EVENT}},
    )
    @open_to(PUBLIC)
    async def stripe_webhook(request: Request, stripe_signature: Signature = "") -> Answer:
        """Only a hint: an outcome is decided once, whether it comes this way or by asking."""
        return Answer(status=await decided(request, stripe_signature))

    async def decided(request: Request, stripe_signature: str) -> WebhookStatus:
        body = await request.body()
        hint = hint_in(verified(body, stripe_signature, settings.webhook_secrets))
        if hint is None:
            return "ignored"
        state = await _state_of(store, hint.order_id)
        if wrong := mismatch(state, hint):
            log.error("webhook_mismatch", saga_id=hint.order_id, effect=hint.effect_id, why=wrong)
            raise Problem(422, "webhook_mismatch", wrong)
        outcome = await node.commands.execute(await _message(node, hint))
        if isinstance(outcome, Decided):
            return "decided"
        if isinstance(outcome, Parked):
            log.error("webhook_undecided", saga_id=hint.order_id, why=outcome.reason)
            raise Problem(409, "webhook_undecided", outcome.reason)
        if contradicts(await _state_of(store, hint.order_id), hint.outcome):
            kind = type(hint.outcome).__name__
            log.error("webhook_contradicts", saga_id=hint.order_id, outcome=kind)
        return "repeated"

    return router


def verified(body: bytes, signature: str, secrets: tuple[str, ...]) -> stripe.Event:
    """The event, if one of our secrets signed these very bytes, and lately."""
    if not secrets:
        raise Problem(403, "webhooks_off", "STRIPE_WEBHOOK_SECRET is not set")
    for secret in secrets if signature.isascii() else ():  # others are compared with an error
        try:
            event = stripe.Webhook.construct_event(body, signature, secret, TOLERANCE_S)
        except stripe.SignatureVerificationError:
            continue
        except UPCASTING:  # not text, not JSON, or not an event
            raise _malformed() from None
        assert isinstance(event, stripe.Event)
        return event
    raise Problem(400, "bad_signature", "the signature is wrong, or older than five minutes")


def hint_in(event: stripe.Event) -> WebhookOutcome | None:
    """As `outcome_in`. Raises Problem for an event whose fields are not what they are at Stripe."""
    try:
        hint = outcome_in(event)
    except UPCASTING:
        raise _malformed() from None
    if hint is not None and not _is_sound(hint):
        raise _malformed()
    return hint


def _malformed() -> Problem:
    return Problem(400, "malformed_webhook", "the body is no event of Stripe's")


def _is_sound(hint: WebhookOutcome) -> bool:
    """Stripe's objects are made of whatever JSON came: no store takes half a surrogate pair, for one."""
    money, outcome = hint.money, asdict(hint.outcome).values()
    texts = (hint.order_id, hint.effect_id, money.currency, money.intent, *outcome)
    is_text = all(isinstance(text, str) and text.isprintable() for text in texts)
    return is_text and type(money.amount_minor) is int


def outcome_in(event: stripe.Event) -> WebhookOutcome | None:
    """None where it is nothing that we ask Stripe for, or not decided yet."""
    thing: Any = event.data.object
    if event.type not in OF_INTENTS | OF_REFUNDS:
        return None
    metadata = outcomes.metadata_of(thing)
    order_id, effect_id = metadata.get("order_id"), metadata.get("effect")
    if not order_id or not effect_id:
        return None  # a payment of another system on the same account
    outcome: CaptureOutcome | RefundOutcome | None
    if event.type in OF_INTENTS:
        outcome, kind = outcomes.of_intent(thing, order_id), "capture"
        received = isinstance(outcome, CaptureSucceeded)
        amount, intent = thing.amount_received if received else thing.amount, thing.id
    else:
        outcome, kind = outcomes.of_refund(thing, order_id), "refund"
        amount, intent = thing.amount, getattr(thing, "payment_intent", None) or ""
    if outcome is None:
        return None
    money = Money(amount, thing.currency.upper(), intent)
    return WebhookOutcome(order_id, effect_id, kind, outcome, money)


def mismatch(state: State, hint: WebhookOutcome) -> str:
    """What of it is not as our own row says; "" where all is, or where no money was taken."""
    if not hint.effect_id.startswith(f"{hint.order_id}:{hint.kind}:"):
        return f"{hint.effect_id} is no {hint.kind} of {hint.order_id}"
    own = _captured(state) if hint.kind == "capture" else _given_back(state)
    if own is None:
        taken = isinstance(state, Declined) and hint.kind == "capture"
        return "" if taken else f"no {hint.kind} was asked for: {type(state).__name__}"
    for name in ("amount_minor", "currency", "intent"):
        ours, theirs = getattr(own, name), getattr(hint.money, name)
        if ours and ours != theirs:
            return f"{name} is {theirs!r}, ours is {ours!r}"
    return ""


def contradicts(state: State, outcome: CaptureOutcome | RefundOutcome) -> bool:
    """It was decided otherwise before: money moved, or came back, that the books know nothing of."""
    match outcome:
        case CaptureSucceeded():
            return isinstance(state, Declined)
        case CaptureDeclined():
            return isinstance(state, Captured | Refunding | Refunded)
        case RefundRefused():
            return isinstance(state, Refunded)
        case _:
            return False


def _captured(state: State) -> Money | None:
    match state:
        case Capturing(order=order):
            return Money(order.total_minor, order.currency)
        case Captured():
            return Money(state.captured_minor, state.currency, state.provider_ref)
        case Refunding() | Refunded():
            return _captured(state.captured)
        case Absent() | Noted() | Declined():
            return None


def _given_back(state: State) -> Money | None:
    match state:
        case Refunding():
            captured = state.captured
            return Money(state.refund_minor, captured.currency, captured.provider_ref)
        case Refunded():
            captured = state.captured
            return Money(state.refunded_minor, captured.currency, captured.provider_ref)
        case Absent() | Noted() | Capturing() | Captured() | Declined():
            return None


async def _state_of(store: PostgresStore, order_id: str) -> Any:
    async with store.reading() as connection:
        rows = await store.own.load(connection, [order_id])
    return rows[order_id].state if order_id in rows else INITIAL


async def _message(node: Node, hint: WebhookOutcome) -> Message:
    """The trace goes on where the effect is owed still."""
    outstanding = (await node.operations.whereabouts(hint.order_id)).outstanding_effects
    context = next((e.traceparent for e in outstanding if e.id == hint.effect_id), "")
    return Message(
        id=outcome_id(node.service, hint.effect_id),
        key=hint.order_id,
        body=hint.outcome,
        at=clock.now(),
        traceparent=tracing.resumed(context),
        effect_id=hint.effect_id,
    )
