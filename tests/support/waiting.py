"""Waiting on progress: a test never sleeps for a time and hopes."""

import time
from collections.abc import Callable
from typing import Any


def until(look: Callable[[], Any], seconds: float = 60, what: str = "it never came") -> Any:
    """Look until there is something; past the deadline the test fails with what did not come."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return found
