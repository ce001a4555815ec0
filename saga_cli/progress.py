"""How far a command is that reads the log: a bar, or where there is no terminal a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from saga_cli.terminal import console
from saga_cli.verify.results import Told

TOLD_EVERY_S: Final = 15.0


@contextmanager
def shown() -> Iterator[Callable[[str], Told]]:
    """Given a name, yields who is to be told of the records that are read for it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeRemainingColumn(),
    )
    is_drawn = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_drawn) as bar:
        yield lambda name: _drawn(bar, name) if is_drawn else _written(name)


def _drawn(bar: Progress, name: str) -> Told:
    task, total = bar.add_task(name, total=None), 0

    def told(read: int, more: int) -> None:
        nonlocal total
        total += more
        bar.update(task, advance=read, total=total)

    return told


def _written(name: str) -> Told:
    done, total, told_at = 0, 0, time.monotonic()

    def told(read: int, more: int) -> None:
        nonlocal done, total, told_at
        done, total = done + read, total + more
        if time.monotonic() - told_at > TOLD_EVERY_S:
            told_at = time.monotonic()
            sys.stderr.write(f"{name}: {done} of {total} records\n")

    return told
