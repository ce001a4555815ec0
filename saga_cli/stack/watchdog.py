"""Ends what a process started, and removes its folders, when that process is gone however it went.

One watchdog a process, started with the first thing it is told of and told over a pipe. On Linux
children get a death signal too (see processes.py); this is what there is for the rest: other
systems, containers, and folders everywhere.
"""

import atexit
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import psutil

POLL_S: Final = 0.5
REMOVE_S: Final = 10


def watch(
    *, pid: int | None = None, container: str | None = None, folder: Path | None = None
) -> None:
    """Have these ended or removed after this process."""
    message = {"pid": pid, "container": container, "folder": str(folder) if folder else None}
    pipe = _watchdog().stdin
    assert pipe is not None
    # Somebody killed the watchdog: the death signal is still there, and what runs should go on.
    with contextlib.suppress(BrokenPipeError):
        pipe.write(json.dumps(message).encode() + b"\n")


@cache
def _watchdog() -> subprocess.Popen[bytes]:
    # -P: what lies beside this file is no library of the watchdog's.
    dog = subprocess.Popen(  # noqa: S603 - no shell: this file
        [sys.executable, "-P", __file__, str(os.getpid())],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # Ctrl-C is not for it
    )
    atexit.register(_release, dog)
    return dog


def _release(dog: subprocess.Popen[bytes]) -> None:
    """The end of a process that ends well: what it left is removed before its caller goes on."""
    assert dog.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        dog.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        dog.wait(REMOVE_S + POLL_S)


def main() -> None:
    processes: list[psutil.Process] = []
    containers: list[str] = []
    folders: list[str] = []
    for line in _messages(int(sys.argv[1])):
        message = json.loads(line)
        if message["pid"]:
            with contextlib.suppress(psutil.NoSuchProcess):  # it knows a reused pid from its own
                processes.append(psutil.Process(message["pid"]))
        if message["container"]:
            containers.append(message["container"])
        if message["folder"]:
            folders.append(message["folder"])
    for process in processes:
        _kill(process)
    if containers:
        subprocess.run(["docker", "rm", "-f", "-v", *containers], capture_output=True, check=False)  # noqa: S603, S607 - no shell: containers that this stack started
    for folder in folders:
        _remove(folder)


def _messages(parent: int) -> Iterator[bytes]:
    """Lines as they come, until the pipe is closed or, where a fork holds it open, the parent is gone."""
    received = b""
    while True:
        if not select.select([0], [], [], POLL_S)[0]:
            if os.getppid() != parent:
                break
            continue
        part = os.read(0, 65536)
        if not part:
            break
        *lines, received = (received + part).split(b"\n")
        yield from lines


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        for one in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.Error):
                one.kill()


def _remove(folder: str) -> None:
    deadline = time.monotonic() + REMOVE_S
    while Path(folder).exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
