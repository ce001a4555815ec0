"""Services forked from a process that has loaded their libraries, which is most of what a start costs.

The chassis is loaded as well; those of its modules that read their environment read it again. No module of
a service is loaded before the fork: its tables would meet another's. Commands that run as processes of their
own (`saga up`, `make demo`, `make chaos`) start each anew.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import random
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from saga_cli.stack.processes import ChildProcess, death_signal
from tests.support.waiting import patient

LIBRARIES: Final = (
    "aiokafka",
    "alembic.command",
    "asyncpg",
    "cramjam",
    "fastapi",
    "httpx",
    "opentelemetry.trace",
    "prometheus_client",
    "pydantic",
    "redis.asyncio",
    "sqlalchemy.ext.asyncio",
    "sqlmodel",
    "stripe",
    "structlog",
    "uvicorn",
    "uvloop",
)
PR_SET_PDEATHSIG: Final = 1
COMMON: Final = ("chassis.*", "shared_events.*")
"""What every service loads."""
READ_AGAIN: Final = ("chassis.crashpoints", "chassis.tracing")
"""What reads the environment while it is imported."""
LOG: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class Forked:
    """As far as a `ChildProcess` needs it, what `Popen` is for a child of its own."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.ended = threading.Event()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout or 0)
        return self.returncode


class Forks:
    """The other end of the process that forks."""

    def __init__(self, *more: str) -> None:
        """`more` are further modules to load before the first fork.

        `name.*` is a package with all in it, `name:function` a function to call.
        """
        self._server = subprocess.Popen(
            [*death_signal(), sys.executable, "-m", __name__, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._children: dict[int, Forked] = {}
        self._started = threading.Semaphore(0)
        self._newest: Forked | None = None
        threading.Thread(target=self._listen, daemon=True, name="forks").start()

    def fork(self, **what: Any) -> Forked:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(what).encode() + b"\n")
        assert self._started.acquire(timeout=patient(60)), "nothing was forked"
        assert self._newest is not None
        return self._newest

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            report = json.loads(line)
            if "code" in report:
                child = self._children.pop(report["pid"])
                child.returncode = report["code"]
                child.ended.set()
            else:
                self._newest = self._children[report["pid"]] = Forked(report["pid"])
                self._started.release()


def forking() -> Callable[[ChildProcess], None]:
    """What starts a `ChildProcess`: one of a service alone is forked."""
    spawn, forks = ChildProcess.spawn, list[Forks]()

    def start(process: ChildProcess) -> None:
        begin, module = [*process.command[:2]], [*process.command[2:]]
        is_service = begin == [sys.executable, "-m"] and len(module) == 1
        is_plain = process.user is None and process.folder is None
        if not (is_service and is_plain) or any(n.startswith("PYTHON") for n in process.env):
            spawn(process)
            return
        if not forks:
            forks.append(Forks(*COMMON))
        environment = {**os.environ, **process.env}
        process.child = forks[0].fork(  # type: ignore[assignment]
            words=module, env=environment, cwd=str(Path.cwd()), log=str(process.log)
        )

    return start


def _load(name: str) -> None:
    name, _, function = name.partition(":")
    package = name.removesuffix(".*")
    loaded = importlib.import_module(package)
    if function:
        getattr(loaded, function)()
    if name != package:
        for found in pkgutil.walk_packages(loaded.__path__, f"{package}."):
            importlib.import_module(found.name)


def _until_forked() -> dict[str, Any] | None:
    """Fork for each line; returns what to become in the child, and None in the parent at the end.

    In one thread, as no other survives a fork.
    """
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([0, ended], [], [])
        if ended in ready:
            os.read(ended, 1024)
            _report_exits()
        if 0 in ready:
            if not (line := sys.stdin.buffer.readline()):
                return None
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                request: dict[str, Any] = json.loads(line)
                return request
            _say(pid=pid)


def _report_exits() -> None:
    with contextlib.suppress(ChildProcessError):
        while (dead := os.waitpid(-1, os.WNOHANG))[0]:
            _say(pid=dead[0], code=os.waitstatus_to_exitcode(dead[1]))


def _say(**what: int) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _become(request: dict[str, Any]) -> None:
    _die_with(os.getppid())
    os.setsid()
    nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(request["log"], LOG)
    for number, file in enumerate((nothing, log, log)):
        os.dup2(file, number)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    random.seed()
    for name in READ_AGAIN:
        if name in sys.modules:
            importlib.reload(sys.modules[name])
    sys.argv = request["words"]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def main() -> None:
    # Ctrl-C is for the tests, which stop what they started
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name in sys.argv[1:]:
        _load(name)
    gc.freeze()
    request = _until_forked()
    if request is not None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _become(request)


if __name__ == "__main__":
    main()
