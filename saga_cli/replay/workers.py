"""Partitions side by side: processes that end with the one that started them."""

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

from saga_cli.progress import ReadProgress
from saga_cli.replay.job import PartitionJob, ReplayError
from saga_cli.replay.partition import fold_partition

SEEN_EVERY_S: Final = 0.2
FEW: Final = 20_000
"""A process takes a second or two to start: so many records are folded sooner in this one."""
_read: Any = None


def fold_all(parts: Sequence[PartitionJob], jobs: int, progress: ReadProgress) -> None:
    """Raises what `fold_partition` raises, and ReplayError when a process was killed."""
    if jobs == 1 or sum(part.end - part.start for part in parts) < FEW:
        for part in parts:
            asyncio.run(fold_partition(part, progress))
        return
    spawn = multiprocessing.get_context("spawn")
    read = spawn.Value("q", 0)
    largest_first = sorted(parts, key=lambda part: part.start - part.end)
    pool = ProcessPoolExecutor(jobs, spawn, _begin, (os.getpid(), read))
    try:
        waiting, seen = {pool.submit(_fold, part) for part in largest_first}, 0
        while waiting:
            done, waiting = wait(waiting, SEEN_EVERY_S)
            progress(read.value - seen, 0)
            seen = read.value
            for future in done:
                future.result()
    except BrokenProcessPool as error:
        raise ReplayError("a process was killed: run the same again, it goes on") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent: int, read: Any) -> None:
    global _read  # noqa: PLW0603 - a process of the pool has one
    _read = read

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SEEN_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _fold(part: PartitionJob) -> None:
    asyncio.run(fold_partition(part, _report))


def _report(read: int, _more: int) -> None:
    with _read.get_lock():
        _read.value += read
