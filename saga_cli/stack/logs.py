"""The command `saga logs`; logs of the running stack are followed until somebody ends it."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from saga_cli.stack import state
from saga_cli.terminal import fail

Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")]
LAST_LINES: Final = 50


def logs(
    service: Annotated[str, typer.Argument(help="Such as order or kafka.")],
    *,
    follow: Follow = False,
) -> None:
    """Print the log of a service or server of the running stack."""
    found = [process.log for process in processes(service)]
    if follow:
        with following(found, "-n", str(LAST_LINES)) as tail:
            tail.wait()
        return
    for log in found:
        sys.stdout.write(Path(log).read_text(errors="replace"))


def processes(name: str) -> list[state.Running]:
    """Those of a service or server of the running stack; the command ends with 2 without one."""
    stack = state.found()
    if stack is None:
        fail("no stack runs in this folder")
    found = [p for p in stack.processes if p.name == name or p.name.startswith(f"{name}-")]
    if not found:
        fail(f"there is no {name!r}; there are {', '.join(p.name for p in stack.processes)}")
    return found


@contextmanager
def following(logs_: Sequence[str], *options: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """`tail` of some logs, which SIGTERM or Ctrl-C to this process end: that is no failure."""
    command = ["tail", *options, "-F", *logs_]
    more |= {"text": True, "errors": "replace", "start_new_session": True}
    with subprocess.Popen(command, **more) as tail:  # noqa: S603 - no shell: `tail` of the PATH, and logs of this stack

        def end(*_: object) -> None:
            tail.terminate()

        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield tail
        finally:
            tail.terminate()
            for number, handler in before.items():
                signal.signal(number, handler)
