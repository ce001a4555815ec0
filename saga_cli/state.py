"""Where a running stack is written down, so that another shell finds it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

FILE: Final = Path(".saga") / "stack.json"


@dataclass(frozen=True, slots=True)
class Running:
    """One process of the stack; `url` is empty for a server."""

    name: str
    pid: int
    address: str
    log: str

    def is_alive(self) -> bool:
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True, slots=True)
class Stack:
    supervisor: int
    started_at: float
    kafka_bootstrap: str
    processes: tuple[Running, ...]

    def write(self) -> None:
        FILE.parent.mkdir(exist_ok=True)
        scratch = FILE.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(self), indent=1))
        scratch.chmod(0o600)
        scratch.replace(FILE)

    def is_running(self) -> bool:
        return Running("supervisor", self.supervisor, "", "").is_alive()


def found() -> Stack | None:
    """The stack of this folder that runs; what a killed one left behind does not count."""
    try:
        raw = json.loads(FILE.read_text())
    except FileNotFoundError:
        return None
    raw["processes"] = tuple(Running(**entry) for entry in raw["processes"])
    stack = Stack(**raw)
    return stack if stack.is_running() else None


def forget() -> None:
    FILE.unlink(missing_ok=True)
