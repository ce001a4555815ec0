"""Look-ups that are made together."""

import asyncio
from collections.abc import Mapping

import pytest

from chassis import clock
from chassis.pace import Pace
from chassis.shared_queries import SharedQueries


class Table:
    """Answers when it is let to; `asked` are the keys of each query."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.answers = asyncio.Semaphore(0)
        self.failing = False

    async def ask(self, keys: set[str]) -> Mapping[str, str]:
        self.asked.append(keys)
        await self.answers.acquire()
        if self.failing:
            raise ConnectionError("away")
        return {key: key.upper() for key in keys}


async def begun(row_of: SharedQueries[str], *keys: str) -> list[asyncio.Task[str]]:
    async def asked(key: str) -> str:
        return await row_of(key)

    tasks = [asyncio.create_task(asked(key)) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_who_asks_while_a_query_runs_shares_the_next() -> None:
    table = Table()
    row_of = SharedQueries(table.ask)
    first = await begun(row_of, "a")
    later = await begun(row_of, "b", "c", "b")
    table.answers.release()
    table.answers.release()
    assert await asyncio.gather(*first, *later) == ["A", "B", "C", "B"]
    assert table.asked == [{"a"}, {"b", "c"}]


async def test_a_key_is_asked_for_again_while_its_query_runs() -> None:
    """What the running query reads may be older than the question."""
    table = Table()
    row_of = SharedQueries(table.ask)
    first, later = await begun(row_of, "a"), await begun(row_of, "a")
    table.answers.release()
    assert await first[0] == "A"
    assert not later[0].done()
    table.answers.release()
    assert await later[0] == "A"
    assert table.asked == [{"a"}, {"a"}]


async def test_an_error_is_everyones_who_shares_and_nobody_elses() -> None:
    table = Table()
    row_of, table.failing = SharedQueries(table.ask), True
    first = await begun(row_of, "a", "b")
    table.answers.release()
    for task in first:
        with pytest.raises(ConnectionError):
            await task
    table.failing = False
    table.answers.release()
    assert await row_of("a") == "A"


async def test_who_gives_up_takes_the_answer_from_nobody() -> None:
    table = Table()
    row_of = SharedQueries(table.ask)
    gone, stays = await begun(row_of, "a", "a")
    gone.cancel()
    await asyncio.sleep(0)
    table.answers.release()
    assert await stays == "A"


async def test_queries_are_spaced_and_those_who_ask_meanwhile_share_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, over, waited = Table(), asyncio.Event(), list[float]()

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        await over.wait()

    monkeypatch.setattr(clock, "wait", wait)
    row_of = SharedQueries(table.ask, Pace(every_s=60, burst=0))
    for _ in range(3):
        table.answers.release()
    assert await row_of("a") == "A"  # nobody waits for his own answer
    later = [*await begun(row_of, "b"), *await begun(row_of, "c")]
    assert (len(waited), table.asked) == (1, [{"a"}])
    over.set()
    assert await asyncio.gather(*later) == ["B", "C"]
    assert table.asked == [{"a"}, {"b", "c"}]
