"""The books of our fake Stripe: intents, refunds, and a ledger of the money that really moved.

As documented for API v1: an intent that is captured by hand is a hold until then; a refund is
limited by what was captured; an error has a type, a code and an HTTP status.
"""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from guarantees.judge import StoredRow
from shared_events import money

DECLINING: Final = {
    "tok_declined": ("card_declined", None),
    "tok_chargeDeclined": ("card_declined", "generic_decline"),
    "tok_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "tok_chargeDeclinedExpiredCard": ("expired_card", None),
}
NEEDS_CUSTOMER: Final = frozenset({"tok_threeDSecure2Required"})
CANCELLABLE: Final = frozenset(
    {"requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"}
)
Form = Mapping[str, str]
Thing = dict[str, Any]
MovedAmounts = dict[str, list[tuple[int, str]]]
"""Amounts in minor units with their currencies, by order."""


class StripeRefusalError(Exception):
    """An error answer: `stored` ones are what an idempotency key remembers."""

    def __init__(
        self, status: int, type_: str, code: str | None, *, stored: bool = True, **more: Any
    ) -> None:
        super().__init__(code or type_)
        self.status, self.stored = status, stored
        self.error = {"type": type_, "code": code, "message": f"{code or type_}", **more}


def invalid(code: str, status: int = 400, param: str | None = None) -> StripeRefusalError:
    return StripeRefusalError(status, "invalid_request_error", code, stored=False, param=param)


def _expect_payable(amount_minor: int, currency: str) -> None:
    if not money.is_payable(amount_minor, currency.upper()):
        raise invalid("parameter_invalid_integer", param="amount")


@dataclass
class StripeBooks:
    """`charged` and `given_back` are the money that moved, by the order's id.

    `refund_ends` are what the next refunds come to; then they succeed.
    """

    intents: dict[str, Thing] = field(default_factory=dict)
    refunds: dict[str, Thing] = field(default_factory=dict)
    charged: MovedAmounts = field(default_factory=dict)
    given_back: MovedAmounts = field(default_factory=dict)
    events: list[Thing] = field(default_factory=list)
    refund_ends: list[str] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def id(self, prefix: str) -> str:
        return f"{prefix}_fake{next(self._numbers):06}"

    def create_intent(self, form: Form) -> Thing:
        token = form.get("payment_method_data[card][token]") or form.get("payment_method", "")
        if not token.startswith(("tok_", "pm_")) or "nosuch" in token:
            raise invalid("resource_missing", param="payment_method_data[card][token]")
        _expect_payable(int(form["amount"]), form["currency"])
        intent: Thing = {
            "id": self.id("pi"),
            "object": "payment_intent",
            "amount": int(form["amount"]),
            "amount_received": 0,
            "currency": form["currency"],
            "capture_method": form.get("capture_method", "automatic"),
            "created": int(time.time()),
            "metadata": _nested(form, "metadata"),
            "status": "requires_confirmation",
            "last_payment_error": None,
            "token": token,
        }
        self.intents[intent["id"]] = intent
        return self.confirm(intent) if form.get("confirm") == "true" else intent

    def confirm(self, form: Form) -> Thing:
        intent = self.intent(form["id"])
        if intent["status"] not in {"requires_confirmation", "requires_payment_method"}:
            raise invalid("payment_intent_unexpected_state")
        if intent["token"] in NEEDS_CUSTOMER:
            intent["status"] = "requires_action"
        elif intent["token"] in DECLINING:
            code, decline_code = DECLINING[intent["token"]]
            failure = {"type": "card_error", "code": code, "decline_code": decline_code}
            intent |= {"status": "requires_payment_method", "last_payment_error": failure}
            self._notify("payment_intent.payment_failed", intent)
            raise StripeRefusalError(
                402, "card_error", code, decline_code=decline_code, payment_intent=dict(intent)
            )
        elif intent["capture_method"] == "manual":
            intent["status"] = "requires_capture"
        else:
            self._charge(intent)
        return intent

    def capture(self, form: Form) -> Thing:
        intent = self.intent(form["id"])
        if intent["status"] != "requires_capture":
            raise invalid("payment_intent_unexpected_state")
        return self._charge(intent)

    def _charge(self, intent: Thing) -> Thing:
        intent |= {"status": "succeeded", "amount_received": intent["amount"]}
        _note(self.charged, intent)
        self._notify("payment_intent.succeeded", intent)
        return intent

    def cancel(self, form: Form) -> Thing:
        intent = self.intent(form["id"])
        if intent["status"] not in CANCELLABLE:
            raise invalid("payment_intent_unexpected_state")
        intent["status"] = "canceled"
        self._notify("payment_intent.canceled", intent)
        return intent

    def intent(self, id_: str) -> Thing:
        if id_ not in self.intents:
            raise invalid("resource_missing", 404, "intent")
        return self.intents[id_]

    def create_refund(self, form: Form) -> Thing:
        intent = self.intent(form["payment_intent"])
        if intent["status"] != "succeeded":
            raise invalid("charge_not_captured")
        earlier = [r for r in self.refunds.values() if r["payment_intent"] == intent["id"]]
        taken = sum(r["amount"] for r in earlier if r["status"] not in {"failed", "canceled"})
        amount = int(form.get("amount") or intent["amount"])
        _expect_payable(amount, intent["currency"])
        if taken >= intent["amount_received"]:
            raise invalid("charge_already_refunded")
        if taken + amount > intent["amount_received"]:
            raise invalid("amount_too_large", param="amount")
        refund: Thing = {
            "id": self.id("re"),
            "object": "refund",
            "amount": amount,
            "currency": intent["currency"],
            "created": int(time.time()),
            "metadata": _nested(form, "metadata"),
            "payment_intent": intent["id"],
            "status": "pending",
        }
        self.refunds[refund["id"]] = refund
        self.end_refund(refund["id"], self.refund_ends.pop(0) if self.refund_ends else "succeeded")
        return refund

    def end_refund(self, id_: str, status: str) -> None:
        """A bank says what became of it."""
        refund = self.refunds[id_]
        refund["status"] = status
        if status == "succeeded":
            _note(self.given_back, refund)
            self._notify("refund.updated", refund)
        elif status == "failed":
            refund["failure_reason"] = "expired_or_canceled_card"
            self._notify("refund.failed", refund)

    def refund(self, id_: str) -> Thing:
        if id_ not in self.refunds:
            raise invalid("resource_missing", 404, "refund")
        return self.refunds[id_]

    def grow_older(self, seconds: float) -> None:
        for thing in (*self.intents.values(), *self.refunds.values()):
            thing["created"] -= int(seconds)

    def _notify(self, type_: str, thing: Thing) -> None:
        self.events.append(
            {
                "id": self.id("evt"),
                "object": "event",
                "type": type_,
                "created": int(time.time()),
                "data": {"object": dict(thing)},
            }
        )


def _note(moved: MovedAmounts, thing: Thing) -> None:
    order_id = thing["metadata"].get("order_id", "")
    moved.setdefault(order_id, []).append((thing["amount"], thing["currency"]))


def _nested(form: Form, name: str) -> dict[str, str]:
    start = f"{name}["
    return {k[len(start) : -1]: v for k, v in form.items() if k.startswith(start)}


def disagreements(books: StripeBooks, payments: Mapping[str, StoredRow]) -> list[str]:
    """What payments say that did not move, and what moved without them; no card is left with a hold."""
    problems = [
        f"G2 the provider moved money for an order that payment does not know ({order_id})"
        for order_id in books.charged.keys() | books.given_back.keys()
        if order_id not in payments
    ]
    for order_id, payment in payments.items():
        reported = _reported(payment)
        moved = (_amounts(books.charged, order_id), _amounts(books.given_back, order_id))
        if moved != reported:
            problems.append(
                f"G4 {payment.status}: charged and refunded {moved}, not {reported} ({order_id})"
            )
    held = [i["id"] for i in books.intents.values() if i["status"] == "requires_capture"]
    return problems + [f"G2 the provider still holds money on a card ({id_})" for id_ in held]


def _amounts(moved: MovedAmounts, order_id: str) -> list[int]:
    return [amount_minor for amount_minor, _ in moved.get(order_id, ())]


def _reported(payment: StoredRow) -> tuple[list[int], list[int]]:
    detail = payment.detail
    if payment.status == "Captured":
        return [detail["captured_minor"]], []
    if payment.status == "Refunded":
        return [detail["captured"]["captured_minor"]], [detail["refunded_minor"]]
    return [], []
