"""No message of a batch is lost behind another of its partition that was handled."""

import pytest
from redis.exceptions import ResponseError

from chassis.errors import ConcurrentChangeError, TransientError
from chassis.message import Done, Message, Parked, Repeated
from loyalty_svc.domain import POINTS_MAX
from loyalty_svc.operations import RedisOperations
from shared_events.order import OrderCancellationRequested
from shared_events.shipping import ShipmentCancellationRefused, ShipmentCreated
from tests.simulation.loyalty import Loyalty, books
from tests.support.records import a_message, an_order

ANY_NOTED = [b"1", b"Noted", b"{}"]


@pytest.fixture
def loyalty(monkeypatch: pytest.MonkeyPatch) -> Loyalty:
    made = Loyalty()
    made.replace(monkeypatch)
    return made


def _created(order_id: str, offset: int) -> Message:
    return a_message(ShipmentCreated(order=an_order(order_id), shipment_id="S"), offset)


def _refused_again(order_id: str, offset: int) -> Message:
    return a_message(ShipmentCancellationRefused(order_id=order_id, reason="dispatched"), offset)


def _cancelled(order_id: str, offset: int) -> Message:
    return a_message(OrderCancellationRequested(order_id=order_id, reason="customer"), offset)


async def test_what_is_malformed_is_parked_though_a_later_record_came_with_it(
    loyalty: Loyalty,
) -> None:
    store = await loyalty.connect()
    bad = _created("o-2", 2).record
    assert bad is not None
    await store.handle([_created("o-1", 1), _created("o-3", 3)], [(bad, "malformed")])
    assert await RedisOperations(store).parked_keys() == ["o-2"]


async def test_after_a_conflict_the_message_is_decided_anew(loyalty: Loyalty) -> None:
    """Another instance gets in between the reading of an order and its script."""
    store, other = await loyalty.connect(), await loyalty.connect()
    replies = iter(range(10))

    async def get_in_between(_: str) -> None:
        if next(replies) == 0:
            loyalty.redis.reply = None
            await other.handle([_created("o-1", 1)])

    loyalty.redis.reply = get_in_between
    batch = [_cancelled("o-1", 2), _cancelled("o-2", 3)]
    with pytest.raises(ConcurrentChangeError):
        await store.handle(batch)
    assert [type(outcome) for outcome in await store.handle(batch)] == [Done, Repeated]
    assert _statuses(loyalty) == {"o-1": b"Deducted", "o-2": b"Noted"}


@pytest.mark.parametrize("failing", range(3))
async def test_a_script_that_failed_is_run_again(loyalty: Loyalty, failing: int) -> None:
    """As when Redis has no memory for an instant: those behind it in the batch were run."""
    store = await loyalty.connect()
    batch = [_created(f"o-{n}", n) for n in range(3)]
    scripts = iter(range(3))

    def fail(name: bytes, _: tuple[bytes, ...]) -> None:
        if name == b"GET" and next(scripts, None) == failing:
            raise ResponseError("injected")

    loyalty.redis.on_call = fail
    with pytest.raises(TransientError):
        await store.handle(batch)
    loyalty.redis.on_call = None
    outcomes = await store.handle(batch)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Done)] == [failing]
    assert _statuses(loyalty) == dict.fromkeys(("o-0", "o-1", "o-2"), b"Awarded")


async def test_what_a_script_refuses_is_parked_with_what_follows_of_its_key(
    loyalty: Loyalty,
) -> None:
    """Points that a foreign hand wrote: nothing is added to them, and other orders go on."""
    store = await loyalty.connect()
    await store.handle([_created("o-1", 1)])
    held = loyalty.redis.data.values[b"loyalty:customer:alice"]
    held[b"points"] = b"%d" % 10**30
    before = books(loyalty.redis)
    batch = [_cancelled("o-1", 2), _refused_again("o-1", 3), _cancelled("o-2", 4)]
    with pytest.raises(ConcurrentChangeError):
        await store.handle(batch)
    await store.handle(batch)
    letters = await RedisOperations(store).dead_letters("o-1")
    assert [letter.record.offset for letter in letters] == [2, 3]
    assert "can not hold these points" in letters[0].first_reason
    assert books(loyalty.redis) == before | {b"loyalty:order:o-2": ANY_NOTED}
    tried = await RedisOperations(store).redrive("o-1", "ops")
    assert [type(each.outcome) for each in tried] == [Parked]
    held[b"points"] = b"10"
    assert len(await RedisOperations(store).redrive("o-1", "ops")) == 2
    assert _statuses(loyalty)["o-1"] == b"Awarded"
    assert held[b"points"] == b"10"


async def test_nobody_is_awarded_points_beyond_what_is_counted(loyalty: Loyalty) -> None:
    store = await loyalty.connect()
    await store.handle([_created("o-1", 1)])
    held = loyalty.redis.data.values[b"loyalty:customer:alice"]
    held[b"points"] = b"%d" % POINTS_MAX
    (outcome,) = await store.handle([_created("o-2", 2)])
    assert isinstance(outcome, Done)
    assert _statuses(loyalty) == {"o-1": b"Awarded", "o-2": b"Rejected"}
    assert held[b"points"] == b"%d" % POINTS_MAX


def _statuses(loyalty: Loyalty) -> dict[str, bytes]:
    known = books(loyalty.redis)
    prefix = b"loyalty:order:"
    return {k.removeprefix(prefix).decode(): v[1] for k, v in known.items() if k.startswith(prefix)}
