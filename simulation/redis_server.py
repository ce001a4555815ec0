"""A Redis in this process, by virtual time: it runs the production scripts, and may fail.

What it has written it can lose again, from the end, as a file that is cut or a failover does.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.exceptions import ReadOnlyError

from simulation.redis_commands import COMMANDS, RedisCommand
from simulation.redis_data import Data, error, integer
from simulation.redis_lua import Scripts

UNDO_MAX: Final = 1000
INFO: Final = (
    "# Server\r\nrun_id:{run}\r\n# Replication\r\nrole:{role}\r\nmaster_replid:{history}\r\n"
)
REPLICA: Final = "You can't write against a read only replica."
FULL: Final = "OOM command not allowed when used memory > 'maxmemory'."
FULL_FOR_SCRIPT: Final = (
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
)
Hook = Callable[[str], Awaitable[None]]


class RedisServer:
    """Faults are plain attributes: set them, and set them back.

    `down` refuses connections and keeps the data. `full` is maxmemory with noeviction. `request`
    and `reply` are awaited before and after the effect of each round trip, with its command's
    name, and may raise. `cut` says after how many of a round trip's commands the connection
    breaks. `on_call` is told each call of a script before its effect, and may raise.
    """

    def __init__(self) -> None:
        self.down = False
        self.full = False
        self.parts = 0
        self.request: Hook | None = None
        self.reply: Hook | None = None
        self.cut: Callable[[int], int] | None = None
        self.on_call: Callable[[bytes, tuple[bytes, ...]], None] | None = None
        self.starts = 1
        self.data = Data()
        self.log: deque[list[Callable[[], object]]] = deque(maxlen=UNDO_MAX)
        """How to take back each write, a whole script being one."""
        self._scripts = Scripts(self._called)
        self._script_has_written = False

    @property
    def run_id(self) -> str:
        return f"{self.starts:040x}"

    @property
    def is_replica(self) -> bool:
        return self.parts % 2 == 1

    def change_part(self) -> None:
        """REPLICAOF: a primary becomes a replica, or a replica a primary; connections stay open."""
        self.parts += 1

    def restart(self, *, lost_writes: int = 0) -> None:
        """Another run, on the data of the last one but for its last writes; connections break."""
        if lost_writes > len(self.log):
            raise ValueError(f"only the last {len(self.log)} writes can be lost")
        for _ in range(lost_writes):
            for undo in reversed(self.log.pop()):
                undo()
        self.starts += 1
        self.down = False

    def flush(self) -> None:
        """FLUSHALL: the data are gone, the run is the same."""
        self.data.clear()
        self._written()

    def execute(self, name: bytes, *args: bytes) -> Any:
        """The reply to one command, which is one write or none. Raises ResponseError."""
        self.data.let_time_pass()
        try:
            if name == b"EVAL":
                return self._evaluated(*args)
            if name == b"INFO":
                role = "slave" if self.is_replica else "master"
                info = INFO.format(run=self.run_id, role=role, history=f"{self.parts:040x}")
                return info.encode()
            command = _command(name, args)
            if command.writes and self.is_replica:
                raise ReadOnlyError(REPLICA)
            if command.grows and self.full:
                raise error(FULL)
            return command.run(self.data, *args)
        finally:
            self._written()

    def _evaluated(self, text: bytes, count: bytes, *rest: bytes) -> Any:
        script, keys = self._scripts.script(text), integer(count)
        if script.is_checked_first and self.is_replica:
            raise ReadOnlyError(REPLICA)
        if script.is_checked_first and self.full:
            raise error(FULL_FOR_SCRIPT)
        self._script_has_written = False
        return self._scripts.run(script, rest[:keys], rest[keys:])

    def _called(self, name: bytes, *args: bytes) -> Any:
        """One call of a script: memory is asked for at its first write only, as Redis does it."""
        command = _command(name, args)
        if self.on_call is not None:
            self.on_call(name, args)
        if command.writes:
            if self.is_replica:
                raise ReadOnlyError(REPLICA)
            if self.full and command.grows and not self._script_has_written:
                raise error(FULL)
            self._script_has_written = True
        return command.run(self.data, *args)

    def _written(self) -> None:
        if self.data.undo:
            self.log.append(self.data.undo)
            self.data.undo = []


def _command(name: bytes, args: tuple[bytes, ...]) -> RedisCommand:
    command = COMMANDS.get(name)
    if command is None:
        raise error(f"ERR unknown command '{name.decode()}'")
    if not command.least <= len(args) <= command.most:
        raise error(f"ERR wrong number of arguments for '{name.decode().lower()}' command")
    return command
