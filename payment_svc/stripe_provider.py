"""Stripe as the payment provider, by its own package.

Money is taken only by the capture of one known intent: an intent is created as a mere hold, under
a key that follows from the effect's. What became of a call is asked, not assumed: by the same key
while Stripe remembers it, by a look-up afterwards.

Stripe keeps the first answer to a key, a failure too, for about a day; after that the same key is
a new request. So an effect that is older than that never creates anything.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, Self, TypeAlias, TypeVar

import stripe

from chassis import clock
from chassis.errors import MisconfiguredError, ProviderError, SecretError
from chassis.service import Attempt
from payment_svc import stripe_outcomes as outcomes
from payment_svc.messages import Capture, CaptureDeclined, Refund, RefundSucceeded
from payment_svc.provider import CaptureOutcome, RefundOutcome
from payment_svc.settings import StripeSettings

API_VERSION: Final = "2026-10-28.endive"
CREATES_FOR: Final = timedelta(hours=23)  # Stripe remembers a key for 24 hours
FOUND_AFTER: Final = timedelta(hours=24)  # its search is at most an hour behind the last create
CLOCKS_DIFFER: Final = timedelta(minutes=5)
KEYS_MAX: Final = 20
NOT_SO: Final = frozenset({"payment_intent_unexpected_state", "charge_expired_for_capture"})
T = TypeVar("T")
Intent: TypeAlias = stripe.PaymentIntent
Options: TypeAlias = stripe.RequestOptions

stripe.enable_telemetry = False


class StripeProvider:
    def __init__(self, settings: StripeSettings, http: stripe.HTTPXClient) -> None:
        self._settings, self._http, self._key = settings, http, ""

    @classmethod
    def connect(cls, settings: StripeSettings, timeout_s: float) -> Self:
        return cls(settings, stripe.HTTPXClient(timeout=timeout_s))

    @property
    def _stripe(self) -> stripe.StripeClient:
        """A client with the key as it is now. Raises MisconfiguredError where it can't be read."""
        try:
            key = self._settings.api_key.read()
        except SecretError as error:
            raise MisconfiguredError(str(error)) from error
        if key != self._key:
            self._key = key
            self._client = stripe.StripeClient(
                key,
                base_addresses={"api": self._settings.api_base},
                http_client=self._http,
                max_network_retries=0,  # the chassis asks again
                stripe_version=API_VERSION,
            )
        return self._client

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def capture(self, effect: Capture, attempt: Attempt) -> CaptureOutcome:
        order_id = effect.order_id
        if attempt.number == 1 and clock.now() > effect.deadline:
            return CaptureDeclined(order_id=order_id, reason=outcomes.TIMED_OUT)  # nobody was asked
        try:
            intent = await self._intent(effect, attempt)
            if intent is None:
                return CaptureDeclined(order_id=order_id, reason=outcomes.TIMED_OUT)
            if intent.status == "requires_capture":
                intent = await self._moved(intent, effect, attempt)
        except stripe.StripeError as error:
            return outcomes.of_failed_capture(error, order_id)
        outcome = outcomes.of_intent(intent, order_id)
        if outcome is None:
            raise ProviderError(f"{intent.id} is {intent.status}")
        return outcome

    async def _intent(self, effect: Capture, attempt: Attempt) -> Intent | None:
        """The effect's one intent as it is now; None when it is known that there is none."""
        age = clock.now() - attempt.owed_since
        if age >= CREATES_FOR:
            found = await self._searched(attempt)
            if found is None and age < FOUND_AFTER:
                raise ProviderError("an intent may exist that can't be found yet")
            return found
        intent = await self._created(effect, attempt)
        if intent is None or attempt.number == 1:
            return intent
        return await self._stripe.v1.payment_intents.retrieve_async(
            intent.id
        )  # a replay tells of the past

    async def _created(self, effect: Capture, attempt: Attempt) -> Intent | None:
        params: Any = {
            "amount": effect.amount_minor,
            "currency": effect.currency.lower(),
            "confirm": True,
            "capture_method": "manual",
            "payment_method_types": ["card"],
            "metadata": {"order_id": effect.order_id, "effect": attempt.key},
            **_paid_with(effect.token),
        }
        return await _kept(
            f"{attempt.key}:create",
            lambda options: self._stripe.v1.payment_intents.create_async(params, options),
            lambda: self._listed(attempt),
            lambda: clock.now() <= effect.deadline,
        )

    async def _listed(self, attempt: Attempt) -> Intent | None:
        """A list is up to date, so what it does not hold is not there."""
        since = int((attempt.owed_since - CLOCKS_DIFFER).timestamp())
        page = await self._stripe.v1.payment_intents.list_async(
            {"created": {"gte": since}, "limit": 100}
        )
        async for intent in page.auto_paging_iter():
            if outcomes.metadata_of(intent).get("effect") == attempt.key:
                return intent
        return None

    async def _searched(self, attempt: Attempt) -> Intent | None:
        """A search is quick over many days, but behind: it says which, not how it is now."""
        query = f"metadata['effect']:{outcomes.quoted(attempt.key)}"
        page = await self._stripe.v1.payment_intents.search_async({"query": query, "limit": 2})
        if len(page.data) > 1:
            raise ProviderError(f"more than one intent of {attempt.key}")
        return (
            await self._stripe.v1.payment_intents.retrieve_async(page.data[0].id)
            if page.data
            else None
        )

    async def _moved(self, intent: Intent, effect: Capture, attempt: Attempt) -> Intent:
        """Take the money, or let it go where the order's time is over."""
        late = clock.now() > effect.deadline
        verb = (
            self._stripe.v1.payment_intents.cancel_async
            if late
            else self._stripe.v1.payment_intents.capture_async
        )

        async def moved(options: Options) -> Intent:
            try:
                return await verb(intent.id, options=options)
            except stripe.InvalidRequestError as error:
                now = await self._stripe.v1.payment_intents.retrieve_async(intent.id)
                if error.code not in NOT_SO or now.status == intent.status:
                    raise
                return now  # somebody was faster

        async def moved_meanwhile() -> Intent | None:
            now = await self._stripe.v1.payment_intents.retrieve_async(intent.id)
            return None if now.status == intent.status else now

        key = f"{attempt.key}:{'cancel' if late else 'capture'}"
        done = await _kept(key, moved, moved_meanwhile)
        assert done is not None, "it goes on until it is done"
        return done

    async def refund(self, effect: Refund, attempt: Attempt) -> RefundOutcome:
        """An earlier one is looked for first, so that no key has to be remembered for this."""
        order_id = effect.order_id
        try:
            if attempt.number > 1 or effect.attempt > 1:
                known = await self._known(effect, attempt)
                if known is not None:
                    return known
            return await self._refunded(effect, attempt)
        except stripe.StripeError as error:
            return outcomes.of_failed_refund(error, order_id)

    async def _refunded(self, effect: Refund, attempt: Attempt) -> RefundOutcome:
        params: Any = {
            "payment_intent": effect.provider_ref,
            "amount": effect.amount_minor,
            "metadata": {"order_id": effect.order_id, "effect": attempt.key},
        }

        async def asked(options: Options) -> RefundOutcome:
            try:
                refund = await self._stripe.v1.refunds.create_async(params, options)
            except stripe.InvalidRequestError as error:
                if error.code != "charge_already_refunded":
                    raise
                known = await self._known(effect, attempt, anybodys=True)
                if known is None:
                    raise
                return known
            outcome = outcomes.of_refund(refund, effect.order_id)
            if outcome is None:
                raise _on_its_way(refund)
            return outcome

        key = f"{attempt.key}:create"
        done = await _kept(key, asked, lambda: self._known(effect, attempt))
        assert done is not None, "it goes on until it is done"
        return done

    async def _known(
        self, effect: Refund, attempt: Attempt, *, anybodys: bool = False
    ) -> RefundOutcome | None:
        """What became of the refund, by the list of all of the payment's.

        One of ours that succeeded is enough, whichever attempt made it; so is what a person gave
        back by hand, if it is all of it.
        """
        page = await self._stripe.v1.refunds.list_async(
            {"payment_intent": effect.provider_ref, "limit": 100}
        )
        refunds = [refund async for refund in page.auto_paging_iter()]
        ours = [r for r in refunds if outcomes.metadata_of(r).get("order_id") == effect.order_id]
        given_back = sum(r.amount for r in refunds if r.status == "succeeded")
        if any(refund.status == "succeeded" for refund in ours) or (
            anybodys and given_back >= effect.amount_minor
        ):
            return RefundSucceeded(order_id=effect.order_id)
        for refund in ours:
            outcome = outcomes.of_refund(refund, effect.order_id)
            if outcome is None:
                raise _on_its_way(refund)
            if outcomes.metadata_of(refund).get("effect") == attempt.key:
                return outcome
        return None


async def _kept(
    key: str,
    call: Callable[[Options], Awaitable[T]],
    look_up: Callable[[], Awaitable[T | None]],
    may_go_on: Callable[[], bool] = lambda: True,
) -> T | None:
    """Change something once. Where the key keeps a failure, look for its effect, then take the next.

    None when there is no effect and no leave to go on.
    """
    for number in range(1, KEYS_MAX + 1):
        try:
            return await call({"idempotency_key": key if number == 1 else f"{key}:{number}"})
        except stripe.APIError as error:
            if not outcomes.is_stored(error):
                raise
        found = await look_up()
        if found is not None or not may_go_on():
            return found
    raise ProviderError(f"{KEYS_MAX} keys of {key} keep a failure")


def _on_its_way(refund: stripe.Refund) -> ProviderError:
    return ProviderError(f"{refund.id} is {refund.status}", outcomes.PENDING_S)


def _paid_with(token: str) -> dict[str, Any]:
    """A card's token as intents take it; the id of a payment method as it is."""
    if token.startswith("pm_"):
        return {"payment_method": token}
    return {"payment_method_data": {"type": "card", "card": {"token": token}}}
