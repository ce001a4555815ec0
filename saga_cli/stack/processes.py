"""Child processes that stop with their parent, even when it is killed."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

PR_SET_PDEATHSIG: Final = 1


@dataclass
class Process:
    """One program that can be started again as it was. Output goes to `log`.

    Start it from a thread that lives as long as it should: Linux sends the death signal when the
    thread that forked ends, not when its process does.
    """

    name: str
    command: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    folder: Path | None = None
    stop_signal: int = signal.SIGTERM
    _child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.env},
                user=self.user,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the parent, which stops it in order
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - two system calls, no locks
            )

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} was never started"
        return self._child.pid

    def is_alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def exit_code(self) -> int | None:
        return self._child.poll() if self._child is not None else None

    def stop(self, seconds: float = 20) -> int | None:
        """Ask it to end and wait; past the time it is killed."""
        self.resume()
        self.signal(self.stop_signal)
        return self.await_exit(seconds)

    def await_exit(self, seconds: float) -> int | None:
        """Wait for its end, by a kill when the time is over."""
        if self._child is not None:
            try:
                self._child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.exit_code()

    def kill(self) -> None:
        """SIGKILL, to it and what it started."""
        if self._child is not None and self._child.poll() is None:
            children = psutil.Process(self.pid).children(recursive=True)
            self.signal(signal.SIGKILL)
            for child in children:
                if child.is_running():
                    child.kill()
            self._child.wait(10)

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


def _die_with(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def set_death_signal() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

    return set_death_signal


def free_port(wanted: int = 0) -> int:
    """The wanted port if it is free, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port")


def guard(folder: Path) -> subprocess.Popen[bytes]:
    """Removes the folder when this process is gone, however it went."""
    code = (
        "import os, shutil, sys, time\n"
        "parent, folder = int(sys.argv[1]), sys.argv[2]\n"
        "while os.getppid() == parent:\n    time.sleep(0.3)\n"
        "for _ in range(20):\n"
        "    shutil.rmtree(folder, ignore_errors=True)\n"
        "    if not os.path.exists(folder):\n        break\n"
        "    time.sleep(0.3)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(os.getpid()), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
