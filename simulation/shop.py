"""The customers: they place orders, change their minds, and ask again until they are answered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from chassis import clock, ids
from chassis.commands import InFlightError, OverloadedError
from chassis.errors import TransientError
from chassis.message import Claim, Decided, Duplicate, Message, Outcome
from inventory_svc.messages import ReturnStock, SetStock, WriteOffStock
from loyalty_svc.messages import SetStanding
from order_svc.api import respond
from order_svc.domain import Cancelling, Pending
from order_svc.messages import CancelOrder, CartLine, PlaceOrder, PriceProduct
from shared_events.order import CustomerIdentified, DeliveryDetailsGiven, PaymentDetailsGiven
from shipping_svc.messages import DispatchShipment
from simulation.checks import PERSONAL
from simulation.plan import SHARES
from simulation.process import Process
from simulation.providers import REFUSED_POSTAL_CODE
from simulation.waiters import refuse

if TYPE_CHECKING:
    from simulation.system import SimulatedSystem

CURRENCY: Final = "ISK"
"""Its amounts go in steps of a hundred."""
PRICE_MINOR: Final = 123_400
SKUS: Final = ("CUP", "MUG", "PEN", "TEA")
SCARCE: Final = "RARE"
PLENTY: Final = 1_000_000
TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OPEN: Final = (Pending, Cancelling)
LOOK_EVERY_S: Final = 0.25
LOOKS_MAX: Final = 200
TOKENS: Final = {
    "declined": "tok_declined",
    "flaky": "tok_flaky",
    "bank-refuses-refund": "tok_refund_refused",
}


@dataclass
class Shop:
    """`acknowledged` are the orders that somebody was told about."""

    system: "SimulatedSystem"
    choice: Random = field(init=False)
    acknowledged: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.choice = self.system.plan.random("shop")

    async def open(self) -> None:
        """Prices, stock, and a customer who may not collect points."""
        scarce = max(1, round(self.system.plan.orders * SHARES["scarce"] / 2))
        for sku in (*SKUS, SCARCE):
            price = PriceProduct(sku=sku, name=sku, price_minor=PRICE_MINOR, currency=CURRENCY)
            await self.asked("order", sku, price)
            on_hand = scarce if sku == SCARCE else PLENTY
            await self.asked("inventory", sku, SetStock(sku=sku, on_hand=on_hand))
        await self.asked("order", "nobody's", CancelOrder(order_id="nobody's"))
        await self.asked("loyalty", "c-bad", SetStanding(customer_id="c-bad", suspended=True))

    async def trade(self) -> None:
        """All of the plan's customers, each in their own time."""
        plan = self.system.plan
        async with asyncio.TaskGroup() as customers:
            for number in range(plan.orders):
                choice = plan.random(f"customer {number}")
                customers.create_task(self._customer(number, choice))

    async def _customer(self, number: int, choice: Random) -> None:
        await clock.wait(choice.uniform(0, self.system.plan.arrive_s))
        traits = frozenset(trait for trait, share in SHARES.items() if choice.random() < share)
        if not self.system.plan.refuses_refunds:
            traits -= {"bank-refuses-refund"}
        cart = tuple(
            CartLine(sku=SCARCE if "scarce" in traits and n == 0 else sku, quantity=1 + n)
            for n, sku in enumerate(choice.sample(SKUS, choice.choice((1, 1, 1, 2, 3))))
        )
        claim = Claim("POST /checkout", f"key-{number}", b"request")
        order_id = await self._checkout(choice, traits, cart, claim)
        if choice.random() < 0.05:  # noqa: PLR2004 - a client that asks twice
            again = await self._checkout(choice, traits, cart, claim)
            if again != order_id:
                self.system.watch.broken("G4", f"one key made {order_id} and {again}")
        self.acknowledged[order_id] = traits
        thought = self.system.plan.random(f"regret {number}")
        if thought.random() < self.system.plan.regret:
            await self._until_settled(order_id)
            await clock.wait(thought.choice((0.0, 1.0, 10.0)) * thought.random())
            await self._cancel(order_id)
        for trait, ask in (("cancel", self._cancel), ("dispatch", self._dispatch)):
            if trait in traits:
                await clock.wait(choice.choice((0.0, 0.05, 0.3, 3.0)) * choice.random())
                await ask(order_id)
        if "dispatch" in traits:
            await self._back_at_the_shelf(cart[-1].sku)

    async def _checkout(
        self, choice: Random, traits: frozenset[str], cart: tuple[CartLine, ...], claim: Claim
    ) -> str:
        token = next((token for trait, token in TOKENS.items() if trait in traits), "tok_ok")
        customer = "c-bad" if "suspended" in traits else f"c-{choice.randrange(20)}"
        patience = choice.uniform(0.02, 2.0) if "hasty" in traits else 300.0
        postal_code = REFUSED_POSTAL_CODE if "carrier-refuses" in traits else "10115"

        def command() -> tuple[str, PlaceOrder, tuple[Any, ...]]:
            order_id = ids.new_id()
            name = PERSONAL.decode()
            order = PlaceOrder(
                order_id=order_id,
                customer_id=customer,
                cart=cart,
                currency=CURRENCY,
                country="AQ" if "undeliverable" in traits else "DE",
                patience=timedelta(seconds=patience),
            )
            of = {"order_id": order_id, "customer_id": name}
            paid_with = PaymentDetailsGiven(**of, payment_token=token)
            sent_to = DeliveryDetailsGiven(
                **of, name=name, street=name, city=name, email=name, postal_code=postal_code
            )
            known_as = CustomerIdentified(pseudonym=customer, customer_id=f"{name} {customer}")
            return order_id, order, (paid_with, sent_to, known_as)

        outcome = await self._until_answered("order", command, claim=claim, respond=respond)
        if not isinstance(outcome, Decided | Duplicate):
            self.system.watch.broken("G1", f"a checkout was answered {outcome}")
            return ""
        order_id: str = from_json(outcome.response)["order_id"]
        return order_id

    async def _until_settled(self, order_id: str) -> None:
        """A customer looks again and again, but not for ever."""
        orders = self.system.databases["order"].own
        for _ in range(LOOKS_MAX):
            if order_id not in orders or not isinstance(orders[order_id].state, OPEN):
                return
            await clock.wait(LOOK_EVERY_S)

    async def _cancel(self, order_id: str) -> None:
        await self.asked("order", order_id, CancelOrder(order_id=order_id))

    async def _dispatch(self, order_id: str) -> None:
        await self.asked("shipping", order_id, DispatchShipment(order_id=order_id))

    async def _back_at_the_shelf(self, sku: str) -> None:
        """A piece comes back, if one has left, and one is found broken."""
        await self.asked("inventory", sku, ReturnStock(sku=sku, quantity=1))
        if sku != SCARCE:
            broken = WriteOffStock(sku=sku, quantity=1, reason="damaged")
            await self.asked("inventory", sku, broken)

    async def asked(self, service: str, key: str, body: Any) -> Outcome:
        """A command without an idempotency key, asked until it is answered."""
        return await self._until_answered(service, lambda: (key, body, ()))

    async def _until_answered(
        self, service: str, command: Callable[[], tuple[str, Any, tuple[Any, ...]]], **more: Any
    ) -> Outcome:
        while True:
            process = self.system.reachable(service)
            if process is not None:
                answer = self.system.loop.create_future()
                served = _served(process, command, more, answer)
                self.system.loop.create_task(served, context=process.context)
                try:
                    async with asyncio.timeout(8):
                        outcome: Outcome = await answer
                except (TimeoutError, TransientError, OverloadedError, InFlightError):
                    pass  # as after a 503 or a broken connection
                else:
                    return outcome
            await clock.wait(self.choice.uniform(0.05, 0.3))


async def _served(
    process: Process,
    command: Callable[[], tuple[str, Any, tuple[Any, ...]]],
    more: dict[str, Any],
    answer: "asyncio.Future[Outcome]",
) -> None:
    """What the HTTP layer does with a request, in the process that has it."""
    key, body, companions = command()
    message = Message(
        id=ids.derived_id(ids.new_id()),
        key=key,
        body=body,
        at=clock.now(),
        traceparent=TRACE,
        companions=companions,
        **more,
    )
    try:
        result = await process.node.commands.execute(message)
    except Exception as error:  # noqa: BLE001 - the client gets it, as a status
        refuse(answer, error)
    else:
        if not answer.done():
            answer.set_result(result)
