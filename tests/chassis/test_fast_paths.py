"""Each fast path has a switch; with all of them off, everything goes through the database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import pytest

from chassis.bus import Acknowledged
from chassis.effects.worker import itself
from chassis.message import FIRST_LEASE_S, Message
from chassis.outbox.recent import RecentOutboxRows
from chassis.process.fast_paths import Core, core_of
from chassis.process.runtime import assemble
from chassis.process.settings import ALL_FAST_PATHS, FastPath, ServiceSettings
from chassis.service import Provider
from chassis.state_cache import StateCache
from shared_events.payment import PaymentCaptured
from shipping_svc.domain import Booking
from shipping_svc.messages import Booked
from shipping_svc.service import SERVICE
from simulation.database import Database
from simulation.memory_inspection import MemoryInspection
from simulation.memory_store import MemoryStore
from simulation.process import servers_now
from tests.support.records import a_message, an_order, published_by

KINDS: Final = frozenset({"Book", "HandOver", "CancelBooking"})
OF_CORE: Final = (FastPath.STATE_CACHE, FastPath.RECENT_OUTBOX_ROWS, FastPath.LOCAL_EFFECTS)
SWITCHES: Final = [
    frozenset[FastPath](),
    *({path} for path in OF_CORE),
    *(ALL_FAST_PATHS - {path} for path in OF_CORE),
    ALL_FAST_PATHS,
]


@dataclass(eq=False)
class Recorded(MemoryStore):
    """A store that notes its statements."""

    asked: list[str] = field(default_factory=list)

    async def ask(self, statement: str, connection: int | None = None) -> None:
        self.asked.append(statement)
        await super().ask(statement, connection)


def captured() -> Message:
    return a_message(PaymentCaptured(order=an_order(), captured_minor=1000, provider_ref="p"))


def booked(message: Message) -> Message:
    outcome = Booked(order_id=message.key, carrier_ref="C")
    effect_id = f"{message.key}:book:1"
    return Message(
        id=message.entry,
        key=message.key,
        body=outcome,
        at=message.at,
        traceparent="",
        effect_id=effect_id,
    )


@pytest.fixture
def store() -> Recorded:
    return Recorded(SERVICE, Database())


async def leading(store: Recorded, on: frozenset[FastPath]) -> Core:
    """Of a process that relays, and has looked at the outbox."""
    core = core_of(SERVICE, store, KINDS, on)
    assert await core.outbox.lead()
    await core.outbox.pending(1000)
    return core


async def reads_states(core: Core, store: Recorded) -> bool:
    """Whether an order that this process wrote is read before it is decided on again."""
    message = captured()
    await core.handler.handle([message])
    store.asked.clear()
    (outcome,) = await core.handler.handle([booked(message)])
    assert published_by(outcome) == ("shipment.created.v1",)
    return "load" in store.asked


async def reads_rows(core: Core, store: Recorded) -> bool:
    """Whether a row of the outbox that this process wrote is read before it is sent."""
    await core.handler.handle([message := captured()])
    store.asked.clear()
    rows = (await core.outbox.pending(1000)).rows
    assert [row.key for _, row in rows][-1] == message.key
    return "pending" in store.asked


async def leaves_effects(core: Core, store: Recorded) -> bool:
    """Whether an effect of what this process decided is anybody's who looks for it in the store."""
    await core.handler.handle([message := captured()])
    effect = store.database.effects[f"{message.key}:book:1"]
    assert effect.due_at is not None
    waits_s = (effect.due_at - servers_now()).total_seconds()
    assert (effect.tries, waits_s > FIRST_LEASE_S / 2) in {(0, False), (1, True)}
    assert core.effects.kinds == (KINDS if effect.tries else frozenset())
    return effect.tries == 0


Slow = Callable[[Core, Recorded], Awaitable[bool]]
SLOW: Final[dict[FastPath, Slow]] = {
    FastPath.STATE_CACHE: reads_states,
    FastPath.RECENT_OUTBOX_ROWS: reads_rows,
    FastPath.LOCAL_EFFECTS: leaves_effects,
}


@pytest.mark.parametrize("on", SWITCHES, ids=lambda on: "+".join(sorted(on)) or "none")
@pytest.mark.parametrize("path", OF_CORE)
async def test_a_fast_path_is_taken_where_its_own_switch_is_on(
    store: Recorded, path: FastPath, on: frozenset[FastPath]
) -> None:
    core = await leading(store, on)
    assert await SLOW[path](core, store) == (path not in on)


async def test_with_all_of_them_off_there_is_no_layer_and_nobody_listens(store: Recorded) -> None:
    core = core_of(SERVICE, store, KINDS, frozenset())
    assert core.handler.units is store
    assert core.outbox is store
    assert core.effects.kinds == frozenset()
    assert core.bus.committed == []


@pytest.mark.parametrize("on", [ALL_FAST_PATHS, frozenset[FastPath]()], ids=["all", "none"])
def test_a_process_has_those_of_its_setting(store: Recorded, on: frozenset[FastPath]) -> None:
    settings = ServiceSettings(kafka_bootstrap="127.0.0.1:1", fast_paths=on, auth="off")
    provider = Provider("carrier", dict.fromkeys(KINDS, itself))
    node = assemble(SERVICE, settings, store, MemoryInspection(store), provider)
    assert (node.core.handler.units is store) == (not on)
    assert (node.relay.outbox is store) == (not on)
    assert node.core.effects.kinds == (KINDS if on else frozenset())
    assert node.consumer.handler is node.commands.handler is node.core.handler


def test_a_provider_of_effects_that_the_service_does_not_store_is_refused(store: Recorded) -> None:
    settings = ServiceSettings(kafka_bootstrap="127.0.0.1:1", auth="off")
    provider = Provider("carrier", {"Booking": itself})
    with pytest.raises(ValueError, match="shipping stores no effects as Booking"):
        assemble(SERVICE, settings, store, MemoryInspection(store), provider)


async def unseen() -> bool:
    return False


@pytest.mark.parametrize("path", FastPath)
async def test_requests_that_wait_are_notified_where_that_is_switched_on(
    store: Recorded, path: FastPath
) -> None:
    core, message = await leading(store, frozenset({path})), captured()
    both = core.waiters(lambda state: isinstance(state, Booking))
    waits = [asyncio.create_task(each.wait(message.key, 60, unseen)) for each in both]
    await asyncio.sleep(0)
    events = [event for each in both for event in each.events[message.key]]
    await core.handler.handle([message])
    rows = (await core.outbox.pending(1000)).rows
    core.bus.publish(Acknowledged([row for _, row in rows]))
    assert [event.is_set() for event in events] == [path is FastPath.LOCAL_WAITERS] * 2
    for wait in waits:
        wait.cancel()


async def test_each_layer_lies_over_the_store_and_hears_of_commits(store: Recorded) -> None:
    core = core_of(SERVICE, store, KINDS)
    assert isinstance(cache := core.handler.units, StateCache)
    assert isinstance(recent := core.outbox, RecentOutboxRows)
    assert cache.units is store
    assert recent.outbox is store
    assert core.bus.committed == [cache.committed, recent.committed]


async def test_a_store_that_may_lose_what_it_committed_is_trusted_by_no_memory(
    store: Recorded,
) -> None:
    store.is_durable = False
    core = await leading(store, ALL_FAST_PATHS)
    assert await reads_states(core, store)
    assert await reads_rows(core, store)
    assert core.effects.kinds == KINDS


async def test_effects_are_left_to_the_store_where_another_process_relays(store: Recorded) -> None:
    """Nobody here hears when their events are in the log."""
    core = await leading(store, ALL_FAST_PATHS)
    await core.outbox.resign()
    await core.handler.handle([message := captured()])
    assert store.database.effects[f"{message.key}:book:1"].tries == 0
