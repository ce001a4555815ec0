"""What a load costs: CPU by process, memory, bytes on disk and on the wire."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench.cpu import cpu_s, with_children
from saga_cli.clients import database
from saga_cli.topology import SERVICES, Addresses

SAMPLE_S: Final = 1.0
Groups = Mapping[str, Iterable[int]]
"""Process ids, without those of their children, by the name under which they are counted."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds, and most memory (proportional set size), by process; bytes that were added.

    The CPU is without that of a process that was killed meanwhile. The wire is the loopback device
    of the whole machine: what else talks there is counted too.
    """

    cpu_s: dict[str, float]
    memory_mb: dict[str, float]
    bytes: dict[str, int]


@contextmanager
def metered(groups: Callable[[], Groups], addresses: Addresses, folder: Path) -> Iterator[Usage]:
    """The usage is complete when the context ends; `groups` says what runs at the moment."""
    usage, stopped = Usage({}, {}, {}), threading.Event()
    bytes_before = bytes_of(folder, addresses)
    cpu_before = {pid: cpu_s(pid) for pids in groups().values() for pid in pids}
    sampler = threading.Thread(target=_sample, args=(groups, usage.memory_mb, stopped), daemon=True)
    sampler.start()
    try:
        yield usage
        for name, pids in groups().items():
            usage.cpu_s[name] = sum(cpu_s(pid) - cpu_before.get(pid, 0.0) for pid in pids)
    finally:
        stopped.set()
        sampler.join()
    for name, count in bytes_of(folder, addresses).items():
        usage.bytes[name] = count - bytes_before[name]


def _sample(
    groups: Callable[[], Groups], memory: dict[str, float], stopped: threading.Event
) -> None:
    while True:
        for name, pids in groups().items():
            memory[name] = max(memory.get(name, 0.0), memory_mb(pids))
        if stopped.wait(SAMPLE_S):
            return


def memory_mb(pids: Iterable[int]) -> float:
    """What processes share is counted once."""
    held = 0
    for process in with_children(pids):
        with suppress(psutil.NoSuchProcess):
            found = process.memory_full_info()
            held += getattr(found, "pss", found.rss)
    return held / 1e6


def bytes_of(folder: Path, addresses: Addresses) -> dict[str, int]:
    """Kafka's logs, PostgreSQL's databases and its write-ahead log, Redis's file, the wire."""
    databases, written = asyncio.run(_postgres(addresses))
    return {
        "kafka": sum(_size(log) for log in (folder / "kafka").rglob("*.log")),
        "postgres": databases,
        "postgres wal": written,
        "redis": sum(_size(aof) for aof in (folder / "redis").rglob("*.aof")),
        "wire": _loopback(),
    }


async def _postgres(addresses: Addresses) -> tuple[int, int]:
    names = [spec.database for spec in SERVICES if spec.has_database]
    async with database(addresses.postgres_url) as connection:
        sizes = "SELECT sum(pg_database_size(datname)) FROM pg_database WHERE datname = ANY($1)"
        written = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"
        return int(await connection.fetchval(sizes, names)), int(await connection.fetchval(written))


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # rolled away meanwhile
        return path.stat().st_size
    return 0


def _loopback() -> int:
    return sum(
        counted.bytes_recv
        for name, counted in psutil.net_io_counters(pernic=True).items()
        if name.startswith("lo")
    )
