"""A story in which loyalty runs each of its scripts, and each run of one with what it found."""

import asyncio
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import pytest

from chassis import clock, ids
from chassis.dead_letters import unreadable
from chassis.errors import StoreLostError, TransientError
from chassis.message import Decided, Message, Parked
from chassis.redis import guarded, inspection, outbox, rebuild, rollback, script, store
from chassis.service import Service
from loyalty_svc.messages import SetStanding
from loyalty_svc.service import SERVICE
from shared_events.order import OrderCancellationRequested
from shared_events.shipping import ShipmentCreated
from simulation.redis_server import RedisServer
from tests.simulation.loyalty import Loyalty, VirtualTime
from tests.support.opened import Opened
from tests.support.records import a_message, an_order

StoreCall = tuple[bytes, tuple[bytes, ...]]
SCRIPTS: Final = {
    name: text
    for module in (guarded, inspection, outbox, rebuild, rollback, script, store)
    for name, text in vars(module).items()
    if name.isupper() and isinstance(text, str) and ("redis.call" in text or name == "RENEW")
}
COMPLETE: Final = {name for name in SCRIPTS if name not in {"GUARD", "HELD", "KEEP"}}


@dataclass
class Ran:
    """One run of a script. `found` are the data before it."""

    name: str
    command: tuple[bytes, ...]
    at: datetime
    found: tuple[dict[bytes, Any], dict[bytes, int]]
    calls: list[StoreCall] = field(default_factory=list)
    reply: Any = None


class Recorder(RedisServer):
    """Keeps the first run of each way through each script."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: dict[tuple[str, ...], Ran] = {}

    def execute(self, name: bytes, *args: bytes) -> Any:
        if name != b"EVAL":
            return super().execute(name, *args)
        found = deepcopy((self.data.values, self.data.ends_ms))
        ran = Ran(_name_of(args[0].decode()), (name, *args), clock.now(), found)
        self.on_call = lambda *call: ran.calls.append(call)
        ran.reply = super().execute(name, *args)
        self.ran.setdefault((ran.name, *(call.decode() for call, _ in ran.calls)), ran)
        return ran.reply


def _name_of(text: str) -> str:
    """The longest constant that it ends with: others are put before one."""
    return max((n for n in COMPLETE if text.endswith(SCRIPTS[n])), key=lambda n: len(SCRIPTS[n]))


async def recorded(patch: pytest.MonkeyPatch) -> list[Ran]:
    time, redis = VirtualTime(), Recorder()
    loyalty = Loyalty(redis=redis)
    time.replace(patch)
    loyalty.replace(patch)
    opened = await loyalty.connect()
    await _decide(loyalty, opened)
    await _repair(loyalty, opened)
    await opened.reached({("shipping.forward", 1): 5})
    await _relay(loyalty, opened, time)
    await _restart_without_last_write(opened, redis)
    return list(redis.ran.values())


async def _decide(loyalty: Loyalty, opened: Opened) -> None:
    """Award, repeat, deduct, suspend; and two who decide on the same at the same time: one does it anew."""
    order = an_order("o-1")
    first = a_message(ShipmentCreated(order=order, shipment_id="S"), 1)
    assert first.record is not None
    await opened.handle([first])
    await opened.handle([first])
    await opened.handle([replace(first, record=replace(first.record, offset=2))])
    cancelled = OrderCancellationRequested(order_id="o-1", reason="customer")
    await opened.handle([a_message(cancelled, 1)])
    command = SetStanding(customer_id="bob", suspended=True)
    id_ = ids.derived_id("suspend")
    await opened.handle([Message(id=id_, key="bob", body=command, at=first.at, traceparent="")])

    async def give_way(_: str) -> None:
        await asyncio.sleep(0)

    loyalty.redis.request = give_way
    other = await loyalty.connect()
    both = [
        a_message(ShipmentCreated(order=an_order("o-2"), shipment_id="S"), 3),
        a_message(OrderCancellationRequested(order_id="o-2", reason="customer"), 2),
    ]
    pairs = zip((opened, other), both, strict=True)
    answers = await asyncio.gather(*(each.handle([message]) for each, message in pairs))
    assert [type(outcome) for (outcome,) in answers] == [Decided, Decided]
    loyalty.redis.request = None
    bad = replace(first.record, key=b"o-7", offset=12, value=b"{")
    batch = [
        a_message(ShipmentCreated(order=an_order("o-5"), shipment_id="S"), 10),
        a_message(ShipmentCreated(order=an_order("o-6", customer_id="carol"), shipment_id="S"), 11),
        unreadable(bad, "malformed"),
        a_message(OrderCancellationRequested(order_id="o-5", reason="customer"), 13),
    ]
    assert [type(x) for x in await opened.handle(batch)] == [Decided, Decided, Parked, Decided]


async def _repair(loyalty: Loyalty, opened: Opened) -> None:
    """Park, fail again, discard one, redrive the others."""
    order = an_order("o-3")
    broken = await loyalty.connect(with_a_bug())
    first = a_message(ShipmentCreated(order=order, shipment_id="S"), 4)
    assert first.record is not None
    later, bad = replace(first.record, offset=5), replace(first.record, offset=6, value=b"{")
    await broken.handle([first, replace(first, id=ids.derived_id("another"), record=later)])
    await opened.handle([unreadable(bad, "malformed")])
    assert await opened.guarded(store.PARKED, [opened.keys.parked_keys]) == [4, 2]
    assert len(await broken.redrive("o-3", "ann")) == 1
    letters = await opened.inspection.dead_letters("o-3")
    assert await opened.inspection.discard("o-3", "ann", "sent twice", letters[2].id)
    assert len(await opened.redrive("o-3", "ann")) == 2
    await broken.handle([a_message(ShipmentCreated(order=an_order("o-4"), shipment_id="S"), 7)])
    assert await opened.inspection.discard("o-4", "ann", "the last one")
    await opened.inspection.skip("shipping.forward", 0, 7, "ann", "it can't be read")


def with_a_bug() -> Service:
    def decide(*_: object) -> Any:
        raise ZeroDivisionError("a bug in the rules")

    return replace(SERVICE, decide=decide)


async def _relay(loyalty: Loyalty, opened: Opened, time: VirtualTime) -> None:
    other = await loyalty.connect()
    assert await opened.lead()
    assert not await other.lead()
    with suppress(TransientError):
        await other.pending(10)
    await time.wait(outbox.LEASE_MS / 1000 * 0.6)
    rows = await opened.pending(100)
    await time.wait(outbox.LEASE_MS / 1000 * 0.6)
    assert await opened.lead()
    for _, row in rows:
        if row.topic in SERVICE.own_topics:
            loyalty.published.add(row)
    (first, _), *others = rows
    await opened.refuse({first: "too large"})
    assert first not in dict(await opened.pending(100))
    operations = opened.inspection
    assert await operations.release(first, "ann", "the topic takes it now")
    await opened.refuse({first: "still too large"})
    assert await operations.drop(first, "ann", "never")
    await opened.acknowledge([id_ for id_, _ in others])
    await opened.rotate_partitions()
    await other.resign()
    await opened.resign()


async def _restart_without_last_write(opened: Opened, redis: RedisServer) -> None:
    """Nothing first; then so much that it counts as lost and is filled again."""
    for lost in (0, len(redis.log) * 3 // 4):
        redis.restart(lost_writes=lost)
        with pytest.raises(StoreLostError):
            await opened.positions()
        await opened.prepare(asyncio.Event())
