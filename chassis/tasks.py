"""Whose cancellation it is: ours, which ends a task, or that of something a library awaited."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class CutOffError(RuntimeError):
    """A library awaited a task of its own that had been cancelled."""


@contextmanager
def own_cancellation_only() -> Iterator[None]:
    """Aiokafka lets the CancelledError of its own tasks out; it must not end who called it."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise CutOffError("a task of the client was cancelled") from error
