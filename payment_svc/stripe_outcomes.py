"""What Stripe's objects and errors say: the same whether they were asked for or came by webhook."""

from collections.abc import Mapping
from typing import Any, Final

import stripe

from chassis.errors import MisconfiguredError, ProviderError, RefusedError
from payment_svc.messages import CaptureDeclined, CaptureSucceeded, RefundRefused, RefundSucceeded
from payment_svc.provider import CaptureOutcome, RefundOutcome

TIMED_OUT: Final = "provider_timeout"
PENDING_S: Final = 30.0  # a refund on its way to a bank is looked at again after this long
USED_TOKEN: Final = frozenset({"token_already_used", "token_in_use"})
MISSING: Final = "resource_missing"
AMOUNT: Final = frozenset({"amount_too_small", "amount_too_large"})  # of a card payment
CARD_PARAMETERS: Final = ("payment_method", "card", "token")
PASSING: Final = frozenset({"lock_timeout", "balance_insufficient"})  # it may do later
WONT_REFUND: Final = frozenset({"charge_disputed", "refund_disputed_payment"})


def quoted(text: str) -> str:
    """A text as Stripe's search language takes it; an order's id is whatever its sender made it."""
    escaped = text.replace("\\", r"\\").replace("'", r"\'")
    return f"'{escaped}'"


def of_intent(intent: stripe.PaymentIntent, order_id: str) -> CaptureOutcome | None:
    """None where it is not decided yet: it waits to be captured, or is being processed.

    Nobody gets the intent's secret, so one that asks for the customer's action never goes on.
    """
    match intent.status:
        case "succeeded":
            return CaptureSucceeded(order_id=order_id, provider_ref=intent.id)
        case "canceled":
            return CaptureDeclined(order_id=order_id, reason=TIMED_OUT)
        case "requires_action" | "requires_confirmation":
            return CaptureDeclined(order_id=order_id, reason="authentication_required")
        case "requires_payment_method":
            reason = _reason(getattr(intent, "last_payment_error", None))
            return CaptureDeclined(order_id=order_id, reason=reason)
        case _:
            return None


def of_refund(refund: stripe.Refund, order_id: str) -> RefundOutcome | None:
    """None while it is on its way."""
    if refund.status == "succeeded":
        return RefundSucceeded(order_id=order_id)
    if refund.status in {"failed", "canceled"}:
        reason = str(getattr(refund, "failure_reason", None) or refund.status)
        return RefundRefused(order_id=order_id, reason=reason)
    return None


def of_failed_capture(error: stripe.StripeError, order_id: str) -> CaptureDeclined:
    """A definite no. Raises ProviderError when it is none."""
    if isinstance(error, stripe.CardError):
        return CaptureDeclined(order_id=order_id, reason=_reason(error.error))
    if isinstance(error, stripe.InvalidRequestError) and (
        error.code in USED_TOKEN | AMOUNT
        or (error.code == MISSING and str(error.param or "").startswith(CARD_PARAMETERS))
        or (is_invalid(error) and error.param in {"amount", "currency"})
    ):
        reason = "invalid_card"
        if error.code in AMOUNT or error.param in {"amount", "currency"}:
            reason = str(error.code or "invalid_amount")
        return CaptureDeclined(order_id=order_id, reason=reason)
    raise unknown(error) from error


def of_failed_refund(error: stripe.StripeError, order_id: str) -> RefundRefused:
    """A definite no, after which a new refund may do.

    Raises RefusedError for a request that is invalid, ProviderError for an unknown outcome.
    """
    if isinstance(error, stripe.CardError) or error.code in WONT_REFUND:
        return RefundRefused(order_id=order_id, reason=_reason(error.error))
    if is_invalid(error):
        raise RefusedError(_message_of(error)) from error
    raise unknown(error) from error


def is_invalid(error: stripe.StripeError) -> bool:
    """The request itself is refused, so the same one always will be, and nothing came of it."""
    is_one = isinstance(error, stripe.InvalidRequestError)
    return is_one and error.http_status in {400, 404} and error.code not in PASSING


def unknown(error: stripe.StripeError) -> ProviderError:
    """The error as the chassis knows it: whom it concerns, and when to ask again."""
    why = _message_of(error)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return MisconfiguredError(why)
    after_s = _seconds((error.headers or {}).get("retry-after"))
    if isinstance(error, stripe.RateLimitError):
        return ProviderError(why, 1.0 if after_s is None else after_s)
    return ProviderError(why, after_s)


def _message_of(error: stripe.StripeError) -> str:
    message = " ".join(str(error.user_message or "").split())
    return f"{type(error).__name__} {error.http_status or ''} {message}"


def is_stored(error: stripe.StripeError) -> bool:
    """A failure that Stripe answers to this key for a day, whatever became of the call."""
    replayed = (error.headers or {}).get("idempotent-replayed") == "true"
    return replayed and (error.http_status or 0) >= 500  # noqa: PLR2004 - a server's error


def metadata_of(thing: Any) -> Mapping[str, str]:
    """Stripe's objects are no mappings, and fields may be missing."""
    metadata = getattr(thing, "metadata", None)
    return metadata.to_dict() if metadata else {}


def _reason(failure: Any) -> str:
    """The bank's own code, or else Stripe's."""
    codes = (getattr(failure, name, None) for name in ("decline_code", "code"))
    return next((str(code) for code in codes if code), "card_declined")


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdecimal() else None
