"""Where a running stack is written down, so that another shell finds it.

What a stack writes is its owner's alone: its file holds secrets, and logs may hold what was sent.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Literal

import psutil
from pydantic import TypeAdapter

from saga_cli.terminal import CommandError

FILE: Final = Path(".saga") / "stack.json"
REQUESTS: Final = FILE.with_name("requests")
StackAction = Literal["start", "stop", "restart"]
CLOCK_S: Final = 5  # a start is told from the wall clock, which may be put right in between
CLAIMED: Final = "a stack of this folder runs already: see `saga status`, or `saga down`"


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

    `secured` is the folder of a stack with TLS and logins. `trace_page` is the page of a trace in the viewer
    of a stack that has one, with {trace_id} in it.
    `servers` are the addresses of Kafka, PostgreSQL (its administrator's) and Redis; whoever has
    `issuer_secret` gets tokens of the `issuer`, and whoever has `password` signs in there.
    """

    supervisor: Running
    processes: tuple[Running, ...] = ()
    issuer: str = ""
    issuer_secret: str = field(default="", repr=False)
    servers: tuple[str, ...] = ()
    secured: Path | None = None
    trace_page: str = ""
    password: str = field(default="", repr=False)

    def write(self) -> None:
        write_private(FILE, STACK.dump_json(self, indent=1).decode())


STACK: Final = TypeAdapter(Stack)


def write_private(file: Path, text: str) -> None:
    """All of it at once; only its owner may read it."""
    scratch = file.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600, exist_ok=False)
    scratch.write_text(text)
    scratch.replace(file)


def open_private(file: Path, mode: Literal["ab", "wb"]) -> BinaryIO:
    """A file to write to, which only its owner may read, also if it was there and others could."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if mode == "ab" else os.O_TRUNC)
    opened = os.open(file, flags, 0o600)
    os.fchmod(opened, 0o600)
    return os.fdopen(opened, mode)


def make_private(folder: Path) -> None:
    """A folder that only its owner may list; where servers have users of their own, they may enter it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)


@contextmanager
def claimed() -> Iterator[None]:
    """The folder is this process's own for a while; another's ends the command with 2."""
    make_private(FILE.parent)
    with open_private(FILE.with_suffix(".lock"), "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandError(CLAIMED) from error
        Stack(running("supervisor", os.getpid())).write()
        try:
            yield
        finally:
            forget()


def found() -> Stack | None:
    """The stack of this folder that runs; what a killed one left behind does not count."""
    try:
        stack = STACK.validate_json(FILE.read_bytes())
    except (FileNotFoundError, ValueError):  # none, or another release's
        return None
    return stack if stack.supervisor.is_alive() else None


def forget() -> None:
    FILE.unlink(missing_ok=True)
    REQUESTS.unlink(missing_ok=True)


def request(action: StackAction, names: Iterable[str]) -> None:
    """Leave names of processes for the stack's supervisor, which looks for them often."""
    write_private(REQUESTS, f"{action} {' '.join(names)}")


def requested() -> tuple[str, frozenset[str]]:
    """Take what was left there: an action, or "", and the processes that it is for."""
    try:
        action, *names = REQUESTS.read_text().split()
        REQUESTS.unlink()
    except (FileNotFoundError, ValueError):
        return "", frozenset()
    return action, frozenset(names)
