"""A batch is one script, all or nothing: no message of it is lost, whatever becomes of another."""

import itertools
from dataclasses import replace

import pytest
from redis.exceptions import ResponseError

from chassis import clock, ids
from chassis.dead_letters import unreadable
from chassis.decide import WAITS
from chassis.errors import ConcurrentChangeError, TransientError
from chassis.handle import CONFLICTS_MAX
from chassis.message import Decided, Duplicate, Message, Parked
from loyalty_svc.domain import POINTS_MAX
from loyalty_svc.messages import SetStanding
from shared_events.order import OrderCancellationRequested
from shared_events.shipping import ShipmentCancellationRefused, ShipmentCreated
from tests.simulation.loyalty import Loyalty, VirtualTime, books
from tests.simulation.story import with_a_bug
from tests.support.records import a_message, an_order

ANY_NOTED = [b"1", b"Noted", b"{}"]


@pytest.fixture
def loyalty(monkeypatch: pytest.MonkeyPatch) -> Loyalty:
    VirtualTime().replace(monkeypatch)
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
    outcomes = await store.handle(
        [_created("o-1", 1), unreadable(bad, "malformed"), _created("o-3", 3)]
    )
    assert [type(outcome) for outcome in outcomes] == [Decided, Parked, Decided]
    assert await store.inspection.parked_keys() == ["o-2"]
    assert _statuses(loyalty) == {"o-1": b"Awarded", "o-3": b"Awarded"}


async def test_after_a_conflict_the_message_is_decided_anew(loyalty: Loyalty) -> None:
    """Another instance gets in between the reading of an order and its script: nothing of the batch stays."""
    store, other = await loyalty.connect(), await loyalty.connect()
    replies = iter(range(10))

    async def get_in_between(_: str) -> None:
        if next(replies) == 0:
            loyalty.redis.reply = None
            await other.handle([_created("o-1", 1)])
            loyalty.redis.request = look

    async def look(_: str) -> None:
        seen.append(_statuses(loyalty))

    seen: list[dict[str, bytes]] = []
    loyalty.redis.reply = get_in_between
    batch = [_cancelled("o-1", 2), _cancelled("o-2", 3)]
    assert [type(outcome) for outcome in await store.handle(batch)] == [Decided, Decided]
    assert seen == [{"o-1": b"Awarded"}] * len(seen)
    assert len(seen) == 4, "a script that conflicts, two reads, and the script that does not"
    assert _statuses(loyalty) == {"o-1": b"Deducted", "o-2": b"Noted"}
    assert await store.handle(batch) == [Duplicate(), Duplicate()]


async def test_who_is_always_too_late_gives_up_with_nothing_changed(loyalty: Loyalty) -> None:
    """Another instance changes the customer's standing before each script."""
    store, other = await loyalty.connect(), await loyalty.connect()
    standings = itertools.count(1)

    async def get_in_between(_: str) -> None:
        loyalty.redis.request = None
        n = next(standings)
        await other.handle([_standing(suspended=n % 2 == 1, n=n)])
        loyalty.redis.request = get_in_between

    loyalty.redis.request = get_in_between
    with pytest.raises(ConcurrentChangeError, match=f"faster {CONFLICTS_MAX} times"):
        await store.handle([_created("o-1", 1)])
    loyalty.redis.request = None
    assert _statuses(loyalty) == {}
    assert books(loyalty.redis)[b"loyalty:customer:alice"][0] == 0
    await other.handle([_standing(suspended=False, n=next(standings))])
    assert [type(outcome) for outcome in await store.handle([_created("o-1", 1)])] == [Decided]
    assert _statuses(loyalty) == {"o-1": b"Awarded"}


@pytest.mark.parametrize(
    ("between", "trips", "status", "alice"),
    [
        pytest.param("another award", 6, b"Awarded", [20, 0, 0], id="points are added up"),
        pytest.param("a suspension", 9, b"Rejected", [0, 1, 1], id="a standing is compared"),
    ],
)
async def test_points_that_two_add_at_once_need_no_second_try_and_a_standing_does(
    loyalty: Loyalty, between: str, trips: int, status: bytes, alice: list[int]
) -> None:
    """In between the reading of a customer and the script; a try is three round trips."""
    store, other = await loyalty.connect(), await loyalty.connect()
    also = _created("o-2", 2) if between == "another award" else _standing(suspended=True, n=1)
    made: list[str] = []

    async def get_in_between(name: str) -> None:
        made.append(name)
        if len(made) == 2:
            await other.handle([also])

    loyalty.redis.reply = get_in_between
    await store.handle([_created("o-1", 1)])
    loyalty.redis.reply = None
    assert len(made) == trips, made
    assert books(loyalty.redis)[b"loyalty:customer:alice"] == alice
    assert _statuses(loyalty)["o-1"] == status


@pytest.mark.parametrize("failing", range(3))
async def test_a_batch_whose_script_failed_is_run_again_as_a_whole(
    loyalty: Loyalty, failing: int
) -> None:
    """As when Redis has no memory for an instant, at any of its first calls: nothing of it was done."""
    store = await loyalty.connect()
    batch = [_created(f"o-{n}", n) for n in range(3)]
    calls = iter(range(3))

    def fail(*_: object) -> None:
        if next(calls, None) == failing:
            raise ResponseError("injected")

    loyalty.redis.on_call = fail
    with pytest.raises(TransientError):
        await store.handle(batch)
    loyalty.redis.on_call = None
    assert _statuses(loyalty) == {}
    outcomes = await store.handle(batch)
    assert [type(outcome) for outcome in outcomes] == [Decided] * 3
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
    outcomes = await store.handle(batch)
    assert [type(outcome) for outcome in outcomes] == [Parked, Parked, Decided]
    letters = await store.inspection.dead_letters("o-1")
    assert [letter.record.offset for letter in letters] == [2, 3]
    assert "can not hold" in letters[0].first_reason
    assert letters[1].first_reason == WAITS.reason
    assert books(loyalty.redis) == before | {b"loyalty:order:o-2": ANY_NOTED}
    tried = await store.redrive("o-1", "ops")
    assert [type(each.outcome) for each in tried] == [Parked]
    tried_again = (await store.inspection.dead_letters("o-1"))[0]
    assert (tried_again.attempts, tried_again.first_reason) == (2, letters[0].first_reason)
    held[b"points"] = b"10"
    assert len(await store.redrive("o-1", "ops")) == 2
    assert await store.inspection.parked_keys() == []
    assert _statuses(loyalty)["o-1"] == b"Awarded"
    assert held[b"points"] == b"10"


@pytest.mark.parametrize(
    ("where", "field", "value"),
    [
        ("customer:alice", "points", b"1.5"),
        ("customer:alice", "suspended", b"yes"),
        ("order:o-1", "status", b"Nonsense"),
        ("order:o-1", "detail", b"{"),
        ("order:o-1", "version", b"none"),
    ],
)
async def test_what_can_not_be_read_is_parked_and_redriven_when_it_is_mended(
    loyalty: Loyalty, where: str, field: str, value: bytes
) -> None:
    """As a foreign hand, or a disk, may leave it."""
    store = await loyalty.connect()
    await store.handle([_created("o-1", 1)])
    held = loyalty.redis.data.values[f"loyalty:{where}".encode()]
    was = held.get(field.encode())
    held[field.encode()] = value
    outcomes = await store.handle(
        [_cancelled("o-2", 2), _cancelled("o-1", 3), _cancelled("o-3", 4)]
    )
    assert [type(outcome) for outcome in outcomes] == [Decided, Parked, Decided]
    tried = await store.redrive("o-1", "ops")
    assert [type(each.outcome) for each in tried] == [Parked]
    assert [x.attempts for x in await store.inspection.dead_letters("o-1")] == [2]
    held.pop(field.encode()) if was is None else held.update({field.encode(): was})
    assert [type(each.outcome) for each in await store.redrive("o-1", "ops")] == [Decided]
    assert _statuses(loyalty)["o-1"] == b"Deducted"


async def test_nobody_is_awarded_points_beyond_what_is_counted(loyalty: Loyalty) -> None:
    store = await loyalty.connect()
    await store.handle([_created("o-1", 1)])
    held = loyalty.redis.data.values[b"loyalty:customer:alice"]
    held[b"points"] = b"%d" % POINTS_MAX
    (outcome,) = await store.handle([_created("o-2", 2)])
    assert isinstance(outcome, Decided)
    assert _statuses(loyalty) == {"o-1": b"Awarded", "o-2": b"Rejected"}
    assert held[b"points"] == b"%d" % POINTS_MAX


@pytest.mark.parametrize("between", ["another parks", "another discards", "another redrives"])
async def test_a_discard_sees_what_happened_since_it_looked(loyalty: Loyalty, between: str) -> None:
    """One message is removed once, and its key is listed as long as it has another one."""
    store = await loyalty.connect()
    bad = [_bad("o-1", offset) for offset in (1, 2)]
    await store.handle(bad[: 1 if between == "another parks" else 2])
    first = (await store.inspection.dead_letters("o-1"))[0]

    async def get_in_between(_: str) -> None:
        loyalty.redis.reply = None
        if between == "another parks":
            await store.handle(bad[1:])
        elif between == "another discards":
            await store.inspection.discard("o-1", "bob", "no event", first.id)
        else:
            await store.redrive("o-1", "bob")

    loyalty.redis.reply = get_in_between
    discarded = await store.inspection.discard("o-1", "ann", "no event", first.id)
    assert (discarded is None) == (between == "another discards")
    assert [x.record.offset for x in await store.inspection.dead_letters("o-1")] == [2]
    assert await store.inspection.parked_keys() == ["o-1"]
    assert len(await store.inspection.actions("o-1")) == 1
    assert await store.inspection.discard("o-1", "ann", "no event")
    assert await store.inspection.parked_keys() == []


@pytest.mark.parametrize("between", ["another parks", "another discards", "another redrives"])
async def test_a_redrive_sees_what_happened_since_it_looked(loyalty: Loyalty, between: str) -> None:
    """In between the reading of the list and the script: what is decided then is not decided twice."""
    store, broken = await loyalty.connect(), await loyalty.connect(with_a_bug())
    await broken.handle([_created("o-1", 1)])
    trips: list[str] = []

    async def get_in_between(_: str) -> None:
        trips.append("")
        if len(trips) != 4:  # behind the letters, the order, its customer, and the letters again
            return
        match between:
            case "another parks":
                await store.handle([_bad("o-1", 2)])
            case "another discards":
                await store.inspection.discard("o-1", "bob", "no event")
            case _:
                await store.redrive("o-1", "bob")

    loyalty.redis.reply = get_in_between
    done = await store.redrive("o-1", "ann")
    loyalty.redis.reply = None
    waiting = ["o-1"] if between == "another parks" else []
    assert await store.inspection.parked_keys() == waiting
    by = [(action.by, action.action) for _, action in await store.inspection.actions("o-1")]
    match between:
        case "another parks":
            assert [type(each.outcome) for each in done] == [Decided, Parked]
            assert (by, _statuses(loyalty)) == ([("ann", "redrive")], {"o-1": b"Awarded"})
            assert await store.inspection.discard("o-1", "ann", "no event")
        case "another discards":
            assert (done, by, _statuses(loyalty)) == ([], [("bob", "discard")], {})
        case _:
            assert (done, by) == ([], [("bob", "redrive")])
            assert books(loyalty.redis)[b"loyalty:customer:alice"] == [10, 0, 0]
    assert await store.inspection.parked_keys() == []
    assert await store.inspection.dead_letters("o-1") == []


async def test_what_fails_again_replaces_no_other_message(loyalty: Loyalty) -> None:
    """Another removes it in between: the one behind it is the first by then."""
    store, broken = await loyalty.connect(), await loyalty.connect(with_a_bug())
    await broken.handle([_created("o-1", 1), _cancelled("o-1", 2)])
    trips: list[str] = []

    async def get_in_between(_: str) -> None:
        trips.append("")
        if len(trips) == 4:
            await store.inspection.discard("o-1", "bob", "no event")

    loyalty.redis.reply = get_in_between
    assert [type(each.outcome) for each in await broken.redrive("o-1", "ann")] == [Parked]
    loyalty.redis.reply = None
    (letter,) = await store.inspection.dead_letters("o-1")
    assert (letter.record.offset, letter.attempts, letter.first_reason) == (2, 2, WAITS.reason)


async def test_what_another_has_parked_meanwhile_is_not_overtaken(loyalty: Loyalty) -> None:
    store, broken = await loyalty.connect(), await loyalty.connect(with_a_bug())
    replies = iter(range(10))

    async def get_in_between(_: str) -> None:
        if next(replies) == 0:
            await broken.handle([_created("o-1", 1)])

    loyalty.redis.reply = get_in_between
    assert await store.handle([_cancelled("o-1", 2)]) == [WAITS]
    loyalty.redis.reply = None
    letters = await store.inspection.dead_letters("o-1")
    assert [letter.record.topic for letter in letters] == ["shipping.forward", "order.cancellation"]
    assert _statuses(loyalty) == {}


async def test_bytes_that_two_park_at_once_are_kept_once(loyalty: Loyalty) -> None:
    """Where one of the key is parked, and both have read that these are not remembered."""
    store, other = await loyalty.connect(), await loyalty.connect()
    bad = _bad("o-1", 1)
    await store.handle([_bad("o-1", 0)])
    replies = iter(range(10))

    async def get_in_between(_: str) -> None:
        if next(replies) == 0:
            assert await other.handle([bad]) == [Parked("malformed")]

    loyalty.redis.reply = get_in_between
    assert await store.handle([bad]) == [Duplicate()]
    assert [x.record.offset for x in await store.inspection.dead_letters("o-1")] == [0, 1]


@pytest.mark.parametrize("how", ["release", "drop"])
async def test_a_refused_row_is_settled_once(loyalty: Loyalty, how: str) -> None:
    store = await loyalty.connect()
    await store.handle([_created("o-1", 1)])
    assert await store.lead()
    ((row, _),) = await store.pending(10)
    await store.refuse({row: "too large"})
    replies = iter(range(10))

    async def get_in_between(_: str) -> None:
        if next(replies) == 2:  # behind the refusal, its row, and what else waits of its key
            assert await store.inspection.release(row, "bob", "it is taken now")

    loyalty.redis.reply = get_in_between
    assert await getattr(store.inspection, how)(row, "ann", "never") is None
    loyalty.redis.reply = None
    assert [id_ for id_, _ in await store.pending(10)] == [row]
    assert [action.by for _, action in await store.inspection.actions("o-1")] == ["bob"]


def _bad(order_id: str, offset: int) -> Message:
    record = _created(order_id, offset).record
    assert record is not None
    return unreadable(replace(record, value=b"{"), "malformed")


def _standing(*, suspended: bool, n: int) -> Message:
    command = SetStanding(customer_id="alice", suspended=suspended)
    id_ = ids.derived_id("standing", str(n))
    return Message(id=id_, key="alice", body=command, at=clock.now(), traceparent="")


def _statuses(loyalty: Loyalty) -> dict[str, bytes]:
    known = books(loyalty.redis)
    prefix = b"loyalty:order:"
    return {k.removeprefix(prefix).decode(): v[1] for k, v in known.items() if k.startswith(prefix)}
