"""A library's cancelled task is its error; our own cancellation is our end."""

import asyncio
from typing import Any

import pytest

from chassis.kafka.clients import stop_within
from chassis.tasks import CutOffError, own_cancellation_only


async def cut_off() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def test_a_task_that_a_library_cancelled_and_awaited_is_an_error_of_the_call() -> None:
    with pytest.raises(CutOffError), own_cancellation_only():
        await cut_off()


async def test_our_own_cancellation_goes_through() -> None:
    async def held() -> None:
        with own_cancellation_only():
            await asyncio.Event().wait()

    task = asyncio.create_task(held())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_whose_stop_is_cut_off_does_not_end_who_stops_it() -> None:
    class SlowClient:
        async def stop(self) -> Any:
            await cut_off()

    await stop_within(SlowClient(), 1)


async def test_a_close_that_was_cut_short_does_not_end_who_cuts_the_client_off() -> None:
    """Time cancels what it waits for, and the second close waits for the same."""
    closed = asyncio.get_running_loop().create_future()

    class HangingClient:
        async def stop(self) -> None:
            await closed

        async def close(self) -> None:
            await closed

    hanging = HangingClient()
    hanging.client = hanging  # type: ignore[attr-defined]  # its connections
    await stop_within(hanging, 0.01)
    assert closed.cancelled()
