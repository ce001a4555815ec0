"""Where a running stack is written down, so that another shell finds it."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import psutil

FILE: Final = Path(".saga") / "stack.json"
REQUESTS: Final = FILE.with_name("requests")
Action = Literal["start", "stop", "restart"]
CLOCK_S: Final = 5  # a start is told from the wall clock, which may be put right in between


class ClaimedError(Exception):
    """Another stack has the folder."""


@dataclass(frozen=True, slots=True)
class Running:
    """One process of the stack; `started_at` tells it from a later one with the same pid.

    `ended` says how it ended, where its supervisor saw it.
    """

    name: str
    pid: int
    started_at: float
    address: str = ""
    log: str = ""
    ended: str = ""

    def is_alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < CLOCK_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def running(name: str, pid: int, address: str = "", log: str = "") -> Running:
    return Running(name, pid, psutil.Process(pid).create_time(), address, log)


@dataclass(frozen=True, slots=True)
class Stack:
    """`processes` is empty while it starts. The file holds secrets: only its owner may read it.

    `servers` are the addresses of Kafka, PostgreSQL (its administrator's) and Redis.
    """

    supervisor: Running
    processes: tuple[Running, ...] = ()
    operator_token: str = ""
    servers: tuple[str, ...] = ()

    def write(self) -> None:
        scratch = FILE.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        with open(scratch, "x", opener=_for_the_owner) as file:
            json.dump(asdict(self), file, indent=1)
        scratch.replace(FILE)


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def claimed() -> Iterator[None]:
    """The folder is this process's own for a while. Raises ClaimedError if it is another's."""
    FILE.parent.mkdir(exist_ok=True)
    with FILE.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClaimedError from error
        Stack(running("supervisor", os.getpid())).write()
        try:
            yield
        finally:
            forget()


def found() -> Stack | None:
    """The stack of this folder that runs; what a killed one left behind does not count."""
    try:
        raw = json.loads(FILE.read_text())
        processes = tuple(Running(**entry) for entry in raw["processes"])
        token, servers = raw.get("operator_token", ""), tuple(raw.get("servers", ()))
        stack = Stack(Running(**raw["supervisor"]), processes, token, servers)
    except (FileNotFoundError, ValueError, TypeError, KeyError):  # none, or another release's
        return None
    return stack if stack.supervisor.is_alive() else None


def forget() -> None:
    FILE.unlink(missing_ok=True)
    REQUESTS.unlink(missing_ok=True)


def request(action: Action, names: Iterable[str]) -> None:
    """Leave names of processes for the stack's supervisor, which looks for them often."""
    scratch = REQUESTS.with_suffix(".new")
    scratch.write_text(f"{action} {' '.join(names)}")
    scratch.replace(REQUESTS)


def requested() -> tuple[str, frozenset[str]]:
    """Take what was left there: an action, or "", and the processes that it is for."""
    try:
        action, *names = REQUESTS.read_text().split()
        REQUESTS.unlink()
    except (FileNotFoundError, ValueError):
        return "", frozenset()
    return action, frozenset(names)
