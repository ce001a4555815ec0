"""Waiting on progress: a test never sleeps for a time and hopes."""

import time
from collections.abc import Callable


def until(reached: Callable[[], bool], seconds: float, what: str) -> None:
    """Look again and again; past the deadline the test fails with what did not come."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
