"""Child processes that stop with their parent, even when it is killed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import psutil

from chassis.secret import overridden
from saga_cli.stack import watchdog
from saga_cli.stack.state import open_private

# Linux sends the death signal when the *thread* that forked ends, so one that lasts forks them all.
_SPAWNER: Final = ThreadPoolExecutor(1, thread_name_prefix="spawner")


@dataclass
class ChildProcess:
    """One program that can be started again as it was. Output goes to `log`."""

    name: str
    command: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    folder: Path | None = None
    stop_signal: int = signal.SIGTERM
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        _SPAWNER.submit(self.spawn).result()
        watchdog.watch(pid=self.pid)

    def spawn(self) -> None:
        with open_private(self.log, "ab") as output:
            self.child = subprocess.Popen(  # noqa: S603 - no shell: servers and services of this stack
                [*death_signal(), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=overridden(os.environ, self.env),
                user=self.user,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the parent, which stops it in order
            )

    @property
    def pid(self) -> int:
        assert self.child is not None, f"{self.name} was never started"
        return self.child.pid

    def is_alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def exit_code(self) -> int | None:
        return self.child.poll() if self.child is not None else None

    def stop(self, seconds: float = 20) -> int | None:
        """Ask it to end and wait; past the time it is killed."""
        self.resume()
        self.signal(self.stop_signal)
        return self.await_exit(seconds)

    def await_exit(self, seconds: float) -> int | None:
        """Wait for its end, by a kill when the time is over."""
        if self.child is not None:
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.exit_code()

    def kill(self) -> None:
        """SIGKILL, to it and what it started."""
        if self.child is not None and self.child.poll() is None:
            children = psutil.Process(self.pid).children(recursive=True)
            self.signal(signal.SIGKILL)
            for child in children:
                if child.is_running():
                    child.kill()
            self.child.wait(60)

    def suspend(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        if self.is_alive():
            os.kill(self.pid, number)

    def tail(self, lines: int = 20) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


@cache
def death_signal() -> tuple[str, ...]:
    """What is put before a command, so that Linux kills it when the thread that started it is gone.

    It is a program, as nothing of Python may run between fork and exec: what libraries do there for a
    fork, beside other threads, has ended children before they began. () where there is none.
    """
    program = shutil.which("setpriv") if sys.platform == "linux" else None
    words = (program, "--pdeathsig", "KILL", "--") if program else ()
    is_known = words and subprocess.run([*words, "true"], capture_output=True, check=False)  # noqa: S603 - no shell
    return words if is_known and is_known.returncode == 0 else ()


def run(command: Sequence[str], user: str | None = None) -> None:
    """Run a program to its end. Raises RuntimeError with what it said when it fails."""
    result = subprocess.run(  # noqa: S603 - no shell: tools of the servers
        command, capture_output=True, text=True, user=user, cwd="/", check=False
    )
    if result.returncode:
        output = (result.stderr or result.stdout)[-800:]
        raise RuntimeError(f"{Path(command[0]).name} failed: {output}")
