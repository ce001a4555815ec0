"""Progress of a command that reads the log: a bar, or lines where there is no terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from saga_cli.terminal import console

LINE_EVERY_S: Final = 15.0
ReadProgress: TypeAlias = Callable[[int, int], None]
"""Called with the records just read, and with how many are added to the number to read."""


def no_progress(_read: int, _more: int) -> None:
    """For those who do not watch."""


@contextmanager
def shown() -> Iterator[Callable[[str], ReadProgress]]:
    """Yields a function from a name to the callback for the records read under it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeRemainingColumn(),
    )
    is_drawn = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_drawn) as bar:
        yield lambda name: _reporting(bar, name)


def _reporting(bar: Progress, name: str) -> ReadProgress:
    task, done, total, written_at = bar.add_task(name, total=None), 0, 0, time.monotonic()

    def report(read: int, more: int) -> None:
        nonlocal done, total, written_at
        done, total = done + read, total + more
        bar.update(task, completed=done, total=total)
        if bar.disable and done < total and time.monotonic() - written_at > LINE_EVERY_S:
            written_at = time.monotonic()
            sys.stderr.write(f"{name}: {done} of {total} records\n")

    return report
