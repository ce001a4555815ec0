"""Rows that this process wrote are relayed without a look, but not where another's may go first."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from chassis.bus import Committed
from chassis.decide import BatchResult, Snapshot
from chassis.message import OutboxRow
from chassis.outbox.recent import LOOK_S, OTHERS_S, RecentOutboxRows
from chassis.store import Pending
from tests.support.stopped_clock import StoppedClock


def a_row(key: str, topic: str = "payment.events") -> OutboxRow:
    return OutboxRow(topic, key, b"{}", [])


class Table:
    """An outbox; `known` is what the caller of a look said that it need not be sent."""

    def __init__(self) -> None:
        self.rows: dict[str, OutboxRow] = {}
        self.refused: dict[str, str] = {}
        self.leads = True
        self.looks = 0
        self.known: list[str] = []

    async def lead(self) -> bool:
        self.leads = True
        return True

    async def resign(self) -> None:
        self.leads = False

    async def pending(
        self, limit: int, *shut: str, known: Mapping[str, OutboxRow] | None = None
    ) -> Pending:
        self.looks += 1
        self.known = list(known or {})
        rows = [
            (id_, row)
            for id_, row in self.rows.items()
            if row.topic not in shut and id_ not in self.refused
        ]
        return Pending(rows[:limit], is_end=len(rows) <= limit, any_refused=bool(self.refused))

    async def refuse(self, refused: Mapping[str, str]) -> None:
        self.refused |= refused

    async def acknowledge(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            del self.rows[id_]


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    return StoppedClock(monkeypatch)


@pytest.fixture
def table() -> Table:
    return Table()


def commit(recent: RecentOutboxRows, *rows: tuple[str, str], **read: Any) -> None:
    """Rows of this process, as ids and keys; the table has them too."""
    outbox = {id_: a_row(key) for id_, key in rows}
    recent.outbox.rows.update(outbox)  # type: ignore[attr-defined]  # it is a Table
    ids, written = list(outbox), list(outbox.values())
    result = BatchResult(Snapshot(**read), outbox=written, outbox_ids=ids)
    recent.committed(Committed([], result))


async def looked(table: Table, **settings: Any) -> RecentOutboxRows:
    """With an outbox that was read to its end, and held nothing."""
    recent = RecentOutboxRows(table, **settings)
    await recent.pending(1000)
    return recent


async def ids_of(recent: RecentOutboxRows, limit: int = 1000, *shut: str) -> list[str]:
    return [id_ for id_, _ in (await recent.pending(limit, *shut)).rows]


async def test_before_the_first_look_nothing_is_sure(table: Table) -> None:
    recent = RecentOutboxRows(table)
    commit(recent, ("1", "a"))
    assert not recent.is_complete
    assert await ids_of(recent) == ["1"]
    assert table.looks == 1


async def test_after_a_look_to_the_end_the_oldest_are_given_in_their_order(table: Table) -> None:
    recent = await looked(table)
    commit(recent, ("1", "a"), ("2", "b"), ("3", "a"))
    assert await ids_of(recent, 2) == ["1", "2"]
    await recent.acknowledge(["1"])
    assert await ids_of(recent, 2) == ["2", "3"]
    assert await recent.pending(2, "payment.events") == Pending([], is_end=False, any_refused=False)
    assert table.looks == 1


async def test_the_outbox_is_looked_at_every_so_often(table: Table, time: StoppedClock) -> None:
    recent = await looked(table)
    time.s += LOOK_S
    assert await ids_of(recent) == []
    assert table.looks == 2


async def test_a_look_that_saw_not_all_leaves_the_doubt(table: Table) -> None:
    recent = RecentOutboxRows(table)
    commit(recent, ("1", "a"), ("2", "b"))
    assert await ids_of(recent, 1) == ["1"]
    assert not recent.is_complete
    assert await ids_of(recent) == ["1", "2"]
    assert table.looks == 2


async def test_a_look_past_a_topic_that_is_shut_leaves_the_doubt(table: Table) -> None:
    recent = RecentOutboxRows(table)
    await recent.pending(1000, "order.events")
    assert not recent.is_complete
    await recent.pending(1000)
    assert recent.is_complete


async def test_a_look_that_found_a_refused_row_leaves_the_doubt(table: Table) -> None:
    """What follows it of its key waits with it, and only the outbox knows what that is."""
    table.rows, table.refused = {"1": a_row("a")}, {"1": "too large"}
    recent = await looked(table)
    commit(recent, ("2", "a"))
    assert not recent.is_complete


async def test_what_kafka_refuses_is_given_no_more(table: Table) -> None:
    recent = await looked(table)
    commit(recent, ("1", "a"), ("2", "b"))
    await recent.refuse({"1": "too large"})
    assert table.refused == {"1": "too large"}
    assert not recent.is_complete
    assert await ids_of(recent) == ["2"]


async def test_where_others_write_it_is_looked_at_each_time(
    table: Table, time: StoppedClock
) -> None:
    recent = await looked(table)
    table.rows["theirs"] = a_row("a")
    time.s += LOOK_S
    assert await ids_of(recent) == ["theirs"]
    await recent.acknowledge(["theirs"])
    for _ in range(3):
        time.s += LOOK_S / 4
        assert await ids_of(recent) == []
    assert table.looks == 5
    time.s += OTHERS_S
    await recent.pending(1000)
    assert recent.is_complete


async def test_a_decision_on_what_another_may_have_written_is_looked_at_once(table: Table) -> None:
    """Its events must not go before those that it follows."""
    recent = await looked(table)
    table.rows["1"] = a_row("a")
    commit(recent, ("2", "a"), is_read=True)
    assert await ids_of(recent) == ["1", "2"]
    assert table.looks == 2


async def test_a_doubt_that_comes_up_during_a_look_stays(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    recent, pending = RecentOutboxRows(table), table.pending

    async def meanwhile(*args: Any, **more: Any) -> Pending:
        found = await pending(*args, **more)
        commit(recent, ("2", "a"), is_read=True)
        return found

    monkeypatch.setattr(table, "pending", meanwhile)
    await recent.pending(1000)
    assert not recent.is_complete


async def test_a_look_is_told_what_it_need_not_read_back(table: Table) -> None:
    recent = RecentOutboxRows(table)
    commit(recent, ("1", "a"), ("2", "b"))
    await recent.acknowledge(["1"])
    await recent.pending(1000)
    assert table.known == ["2"]


@pytest.mark.parametrize("room", [{"rows_max": 1}, {"bytes_max": 2}])
async def test_rows_for_which_there_is_no_room_are_looked_up(
    table: Table, room: dict[str, int]
) -> None:
    recent = await looked(table, **room)
    commit(recent, ("1", "a"))
    commit(recent, ("2", "b"))
    assert await ids_of(recent) == ["1", "2"]
    assert table.looks == 2
    assert table.known == ["1"]


async def test_room_that_was_given_back_is_used_again(table: Table) -> None:
    recent = await looked(table, rows_max=1, bytes_max=2)
    for id_ in ("1", "2", "3"):
        commit(recent, (id_, "a"))
        await recent.acknowledge([id_])
    assert recent.is_complete


async def test_whoever_resigns_forgets_all(table: Table) -> None:
    recent = await looked(table)
    commit(recent, ("1", "a"))
    await recent.resign()
    assert not recent.leads
    assert recent.rows == {}
    assert await recent.lead()
    assert not recent.is_complete
    await recent.pending(1000)
    assert table.known == []


async def test_whoever_lost_the_right_to_relay_forgets_all(table: Table) -> None:
    """And keeps nothing until it has it again: another relays what it writes."""
    recent = await looked(table)
    commit(recent, ("1", "a"))
    table.leads = False
    assert not recent.is_complete
    commit(recent, ("2", "b"))
    assert list(recent.rows) == ["1"]
    assert await recent.lead()
    assert not recent.is_complete
    assert await ids_of(recent) == ["1", "2"]
    assert (table.looks, table.known) == (2, [])
