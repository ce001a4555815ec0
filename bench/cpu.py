"""How much CPU processes take, with all that they started."""

from collections.abc import Iterable
from contextlib import suppress

import psutil


def cpu_s(pid: int) -> float:
    """Of a process and all it started, those that are gone included; 0 if it is gone itself."""
    spent = 0.0
    for process in with_children([pid]):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


def with_children(pids: Iterable[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pid)
            found += [parent, *parent.children(recursive=True)]
    return found
