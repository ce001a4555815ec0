"""A process decides on states that it has cached, and is never wrong where another went on meanwhile."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import pytest

from chassis import clock, ids
from chassis.bus import Bus
from chassis.dead_letters import unreadable
from chassis.decide import WAITS
from chassis.handle import Handler
from chassis.message import Claim, Duplicate, Message, Outcome
from chassis.postgres.state_tables import SharedTable
from chassis.service import Service
from chassis.state_cache import DOUBT_S, StateCache
from inventory_svc import service as inventory
from inventory_svc.messages import ReceiveStock, SetStock
from inventory_svc.store import STOCK
from order_svc import service as orders
from order_svc.messages import CancelOrder, CartLine, PlaceOrder, PriceProduct
from order_svc.store import PRODUCTS
from shared_events.loyalty import PointsAwarded
from shared_events.order import OrderCancellationRequested
from shared_events.values import Order
from simulation.database import Database
from simulation.memory_store import MemoryStore
from tests.support.records import TRACE, about, confirmed, declined, placed, published_by, wanting
from tests.support.stopped_clock import StoppedClock

SKU: Final = "CLOCK"
SHARED: Final = {"inventory": STOCK, "order": PRODUCTS}


@dataclass(eq=False)
class Recorded(MemoryStore):
    """A store that notes the statements of its own process."""

    asked: list[str] = field(default_factory=list)

    async def ask(self, statement: str, connection: int | None = None) -> None:
        self.asked.append(statement)
        await super().ask(statement, connection)


class Process:
    def __init__(self, service: Service, database: Database) -> None:
        shared: SharedTable = SHARED[service.name]
        self.store, bus = Recorded(service, database, shared), Bus()
        self.cache = StateCache(service, self.store)
        bus.committed.append(self.cache.committed)
        self.handler = Handler(service, self.cache, bus)

    async def handle(self, *messages: Message) -> list[Outcome]:
        self.store.asked.clear()
        return await self.handler.handle(messages)

    async def published(self, *messages: Message) -> list[str]:
        return [name for x in await self.handle(*messages) for name in published_by(x)]

    @property
    def reads(self) -> list[list[str]]:
        """What each try of the last batch has read; a lock is one of a shared row, which is read by it."""
        tries: list[list[str]] = []
        for statement in self.store.asked:
            if statement == "begin":
                tries.append([])
            elif statement in {"load", "answered", "load_shared", "lock", "lock_missing"}:
                tries[-1].append(statement)
        return tries


@dataclass
class Two:
    """Processes of one service; the first is to be wrong."""

    first: Process
    second: Process

    @classmethod
    def of(cls, service: Service) -> "Two":
        database = Database()
        return cls(Process(service, database), Process(service, database))


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    return StoppedClock(monkeypatch)


@pytest.fixture
def two() -> Two:
    return Two.of(inventory.SERVICE)


def command(key: str, body: Any, claim: Claim | None = None) -> Message:
    id_ = ids.derived_id(ids.new_id())
    respond = None if claim is None else lambda _events, _state: key.encode()
    return Message(
        id=id_, key=key, body=body, at=clock.now(), traceparent=TRACE, claim=claim, respond=respond
    )


def received(pieces: int) -> Message:
    return command(SKU, ReceiveStock(sku=SKU, quantity=pieces))


def placing(claim: Claim) -> Message:
    order_id = ids.new_id()
    order = PlaceOrder(
        order_id=order_id,
        customer_id="alice",
        cart=(CartLine(sku=SKU, quantity=1),),
        currency="EUR",
        country="DE",
        patience=timedelta(hours=1),
    )
    return command(order_id, order, claim)


async def reserved(process: Process, pieces: int = 9) -> Order:
    """An order that holds a piece, in the cache of the process with the stock that is left."""
    order = wanting()
    assert await process.published(received(pieces), placed(order)) == [
        "stock.received.v1",
        "stock.reserved.v1",
    ]
    return order


async def test_what_it_wrote_itself_is_not_read_again(two: Two) -> None:
    order, other = await reserved(two.first, 3), wanting(quantity=5)
    assert await two.first.published(confirmed(order), placed(other)) == [
        "stock.committed.v1",
        "stock.rejected.v1",
    ]
    assert two.first.reads == [[]]
    level = two.first.store.database.shared[SKU]
    assert (level.available, level.reserved, level.committed) == (2, 0, 1)


async def test_the_second_message_of_a_new_order_and_an_absent_product_are_not_read(
    two: Two,
) -> None:
    """The first finds that neither its order nor its product has a row."""
    orders = [wanting(), wanting()]
    assert await two.first.published(placed(orders[0])) == ["stock.rejected.v1"]
    assert two.first.reads == [["lock", "lock_missing", "lock"]]
    cancelled = OrderCancellationRequested(order_id=orders[0].order_id, reason="customer")
    for message in (about(cancelled), placed(orders[1])):
        await two.first.handle(message)
        assert two.first.reads == [[]]
    assert two.first.store.database.shared == {}


async def test_only_what_it_does_not_know_is_read(two: Two) -> None:
    known, unknown = await reserved(two.first), wanting()
    await two.second.handle(placed(unknown))
    two.first.cache.doubt(0)
    outcomes = await two.first.published(confirmed(known), confirmed(unknown))
    assert outcomes == ["stock.committed.v1"] * 2
    assert two.first.reads[0] == ["load"]


# Each read that may be old: what the second did meanwhile, and what has to come of the first's message

Case = tuple[Message, Any]
Prepare = Callable[[Two], Awaitable[Case]]


async def own_state(two: Two) -> Case:
    order = await reserved(two.first)
    await two.second.handle(declined(order))
    return confirmed(order), ()


async def own_state_where_the_old_one_changes_nothing(two: Two) -> Case:
    """The first knows the order as confirmed, where a second award says nothing new."""
    await two.first.handle(command(SKU, _price(1000)))
    order = placing(Claim("alice", ids.new_id(), b""))
    await two.first.handle(order)
    award, again = (
        about(PointsAwarded(order_id=order.key, customer_id="alice", points=1, attempt=attempt))
        for attempt in (1, 2)
    )
    await two.first.handle(award)
    await two.second.handle(command(order.key, CancelOrder(order_id=order.key)))
    return again, ("order.cancellation_refused.v1",)


async def absence_of_an_order(two: Two) -> Case:
    """It is not looked for where a message is one that orders begin with."""
    order = await reserved(two.first)
    order = replace(order, order_id=ids.new_id())
    cancelled = OrderCancellationRequested(order_id=order.order_id, reason="customer")
    await two.second.handle(about(cancelled))
    return placed(order), ("stock.rejected.v1",)


async def inbox(two: Two) -> Case:
    message = confirmed(await reserved(two.first))
    await two.second.handle(message)
    return message, Duplicate()


async def inbox_of_a_message_that_begins_an_order(two: Two) -> Case:
    await reserved(two.first)
    message = placed(wanting())
    await two.second.handle(message)
    return message, Duplicate()


async def parked_message(two: Two) -> Case:
    order = await reserved(two.first)
    record = confirmed(order).record
    assert record is not None
    await two.second.handle(unreadable(record, "malformed"))
    return declined(order), WAITS


async def shared_row(two: Two) -> Case:
    await reserved(two.first, pieces=2)
    await two.second.handle(received(5))
    return placed(wanting(quantity=3)), ("stock.reserved.v1",)


async def absence_of_a_shared_row(two: Two) -> Case:
    assert await two.first.published(placed(wanting())) == ["stock.rejected.v1"]
    await two.second.handle(command(SKU, SetStock(sku=SKU, on_hand=1)))
    return placed(wanting()), ("stock.reserved.v1",)


async def shared_row_of_a_decision_that_changes_it(two: Two) -> Case:
    """The last piece is sold once."""
    await reserved(two.first, pieces=2)
    await two.second.handle(placed(wanting()))
    return placed(wanting()), ("stock.rejected.v1",)


async def idempotency_key(two: Two) -> Case:
    await two.first.handle(command(SKU, _price(1000)))
    await two.first.handle(placing(Claim("alice", ids.new_id(), b"cart")))
    claim = Claim("alice", ids.new_id(), b"cart")
    await two.second.handle(answered := placing(claim))
    return placing(claim), Duplicate(answered.key.encode())


async def price(two: Two) -> Case:
    """An order is placed for what a product costs now."""
    await two.first.handle(command(SKU, _price(1000)))
    await two.first.handle(placing(Claim("alice", ids.new_id(), b"cart")))
    await two.second.handle(command(SKU, _price(2000)))
    return placing(Claim("alice", ids.new_id(), b"cart")), ("order.placed.v1",)


def _price(minor: int) -> PriceProduct:
    return PriceProduct(sku=SKU, name="Clock", price_minor=minor, currency="EUR")


OF_STOCK: Final[list[Prepare]] = [
    own_state,
    absence_of_an_order,
    inbox,
    inbox_of_a_message_that_begins_an_order,
    parked_message,
    shared_row,
    absence_of_a_shared_row,
    shared_row_of_a_decision_that_changes_it,
]
OF_ORDERS: Final[list[Prepare]] = [
    own_state_where_the_old_one_changes_nothing,
    idempotency_key,
    price,
]


@pytest.mark.parametrize("case", OF_STOCK + OF_ORDERS, ids=lambda case: case.__name__)
async def test_what_was_decided_on_an_old_read_is_decided_anew_on_what_there_is(
    case: Prepare,
) -> None:
    two = Two.of(inventory.SERVICE if case in OF_STOCK else orders.SERVICE)
    message, expected = await case(two)
    rows_before = len(two.first.store.database.outbox)
    (outcome,) = await two.first.handle(message)
    assert (published_by(outcome) if isinstance(expected, tuple) else outcome) == expected
    written = [line.row for line in two.first.store.database.outbox.values()][rows_before:]
    assert len(written) == (len(expected) if isinstance(expected, tuple) else outcome == WAITS)
    by_cache, by_database = two.first.reads
    assert by_cache == []
    assert "load" in by_database
    assert not two.first.cache.is_trusted


async def test_an_order_is_charged_what_its_product_costs_now() -> None:
    two = Two.of(orders.SERVICE)
    message, _ = await price(two)
    await two.first.handle(message)
    assert two.first.store.database.own[message.key].state.order.total_minor == 2000


async def test_after_a_conflict_nothing_cached_is_used_for_a_time(
    two: Two, time: StoppedClock
) -> None:
    message, _ = await shared_row(two)
    await two.first.handle(message)
    order = wanting()
    time.s += DOUBT_S * 0.9
    await two.first.handle(placed(order))
    (read,) = two.first.reads
    assert {"load", "lock"} <= set(read)
    time.s += DOUBT_S * 0.2
    assert await two.first.published(confirmed(order)) == ["stock.committed.v1"]
    assert two.first.reads == [[]]


async def test_however_often_another_is_faster_each_further_try_reads(time: StoppedClock) -> None:
    """Also one that comes when the doubt is over."""
    two = Two.of(orders.SERVICE)
    message, _ = await price(two)
    database, prices = two.first.store.database, [3000, 4000, 5000]

    async def meanwhile(statement: str) -> None:
        if statement == "save" and prices:
            database.statement = None
            await two.second.handle(command(SKU, _price(prices.pop(0))))
            time.s += 2 * DOUBT_S
            database.statement = meanwhile

    database.statement = meanwhile
    assert await two.first.published(message) == ["order.placed.v1"]
    by_cache, *by_database = two.first.reads
    assert by_cache == []
    assert by_database == [["load", "answered", "load_shared"]] * 3
    assert database.own[message.key].state.order.total_minor == 5000


async def test_so_many_rows_are_cached_and_no_more_the_latest_used(two: Two) -> None:
    two.first.cache.rows_max = 3
    await two.first.handle(received(9))
    some = [wanting() for _ in range(5)]
    await two.first.handle(*map(placed, some))
    assert list(two.first.cache.own) == [order.order_id for order in some[2:]]
    await two.first.handle(
        *(command(f"S-{n}", SetStock(sku=f"S-{n}", on_hand=1)) for n in range(5))
    )
    assert len(two.first.cache.shared) == 3
    assert list(two.first.cache.own) == [order.order_id for order in some[2:]]
    await two.first.handle(confirmed(some[2]))
    await two.first.handle(placed(wanting()))
    assert list(two.first.cache.own)[:2] == [some[4].order_id, some[2].order_id]
    others = [*some[:2], *some[3:]]
    assert await two.first.published(*map(confirmed, others)) == ["stock.committed.v1"] * 4


async def test_what_is_decided_changes_no_cached_row_before_it_is_committed(two: Two) -> None:
    """A commit that fails leaves the cache as it was."""
    order, database = await reserved(two.first), two.first.store.database
    before = dict(two.first.cache.own), dict(two.first.cache.shared)

    async def away(statement: str) -> None:
        if statement == "commit":
            raise ConnectionError

    database.statement = away
    with pytest.raises(ConnectionError):
        await two.first.handle(confirmed(order))
    database.statement = None
    assert (two.first.cache.own, two.first.cache.shared) == before
    assert await two.first.published(confirmed(order)) == ["stock.committed.v1"]
    assert two.first.reads == [[]]
