"""The tests' own wait: it ends with what it found, or says what did not come."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.waiting import until, until_async


def test_it_returns_what_was_found() -> None:
    looks: Iterator[object] = iter([None, [], "there"])
    assert until(lambda: next(looks)) == "there"


async def test_a_look_may_be_a_coroutine_function() -> None:
    looks = iter([0, 7])

    async def look() -> int:
        return next(looks)

    assert await until_async(look) == 7


def test_what_did_not_come_is_said_with_the_last_look() -> None:
    with pytest.raises(AssertionError, match=r"an order: not within 0 s; the last look found \[\]"):
        until(list, 0, "an order")


async def test_a_look_that_hangs_is_ended_by_the_deadline() -> None:
    with pytest.raises(AssertionError, match="an answer: not within"):
        await until_async(asyncio.Event().wait, 0.01, "an answer")


async def test_a_timeout_of_the_look_itself_is_not_the_deadline() -> None:
    async def look() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await until_async(look)
