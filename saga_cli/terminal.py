"""How `saga` speaks: one console, one line for an error, and no way for data to play with the screen."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from guarantees.durations import lasting

WIDE: Final = 4000
"""Where there is no terminal a table takes what it needs: nothing of it is cut or folded."""
_ADDRESS: Final = re.compile(r"\('([^']+)', (\d+)")
_CLASS: Final = re.compile(r"^(\[\w+ -?\d+\] ?)?((\w+\.)*\w+(Error|Exception|Violation)\b:? ?)?")
_CAPITAL: Final = re.compile(r"(?=[A-Z])")
console: Final = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


class CommandError(typer.TyperException):
    """Ends the command with its text in one line, and with this exit code."""

    exit_code = 2


def fail(why: str, code: int = 2) -> NoReturn:
    """It may quote a server or a file: nothing in it moves the cursor."""
    lines = "\n".join(map(plain, why.splitlines()))
    sys.stderr.write(f"saga: {lines}\n")
    raise typer.Exit(code)


def write(line: str, style: str | None = None) -> None:
    """Text from outside, as it is: no markup, and not broken into lines."""
    console.print(line, style=style, markup=False, soft_wrap=True)


def write_violations(lines: Sequence[str], shown: int) -> None:
    for line in lines[:shown]:
        write(plain(line), "red")
    if len(lines) > shown:
        console.print(f"and {len(lines) - shown} more: see --json")


def print_json(found: object) -> None:
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def table_of(*columns: str, right: Collection[str] = (), unbroken: Collection[str] = ()) -> Table:
    """Columns to the left, or to the `right`; where it is narrow, the `unbroken` ones are not folded.

    The others are folded then, and nothing is cut.
    """
    shown = Table()
    for name in columns:
        side: Literal["left", "right"] = "right" if name in right else "left"
        shown.add_column(name, justify=side, overflow="fold", no_wrap=name in unbroken)
    return shown


def add_plain(shown: Table, *cells: str) -> None:
    """A row of texts from outside: what looks like markup, or moves the cursor, is text."""
    shown.add_row(*(Text(plain(cell)) for cell in cells))


def asked_to_stop() -> asyncio.Event:
    """Set by SIGTERM or Ctrl-C while the loop runs."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def check_terminal() -> None:
    """Where nobody can be asked, the command ends with 2."""
    if not sys.stdin.isatty():
        fail("there is no terminal to ask at: give --yes")


def message_of(error: BaseException) -> str:
    """An error in one line, for a person: without its class or its number."""
    text = " ".join(str(error).split())
    if "Unable to bootstrap" in text:
        brokers = (f"{host}:{port}" for host, port in _ADDRESS.findall(text))
        return f"Kafka does not answer at {', '.join(brokers)}"
    if "Connect call failed" in text or "[Errno 111]" in text:
        places = dict.fromkeys(f"{host}:{port}" for host, port in _ADDRESS.findall(text))
        return f"nothing answers at {', '.join(places) or 'its address'}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    named = _CLASS.sub("", text).removeprefix(type(error).__name__).lstrip(": ")
    return named or _CAPITAL.sub(" ", type(error).__name__).removesuffix("Error").strip().lower()


def plain(text: str) -> str:
    """Text from outside with its control characters spelled out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def age(instant: str) -> str:
    """How long ago an ISO instant is."""
    return lasting((datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds())


def instant(text: str) -> datetime | None:
    """An ISO instant, in UTC unless it says otherwise; None for no text."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{plain(text)!r} is no instant such as 2026-01-31T12:00")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def period(since: str, until: str) -> tuple[datetime | None, datetime | None]:
    """Two instants, either of which may be open; ends that are the wrong way round end it with 2."""
    first, last = instant(since), instant(until)
    if first and last and first >= last:
        fail(f"--since {plain(since)} is not before --until {plain(until)}")
    return first, last


def named(text: str, known: Collection[str], what: str) -> list[str]:
    """Names by commas; one that is not known ends the command with 2."""
    names = [name for name in text.split(",") if name]
    if unknown := sorted(set(names) - set(known)):
        fail(f"no such {what}: {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def offsets(text: str, like: str) -> dict[str, int]:
    """Places and the first offset to leave out of each; what makes no sense ends the command with 2."""
    pairs = [part.partition("=") for part in text.split(",")]
    found = {place.strip(): offset.strip() for place, _, offset in pairs}
    if len(found) < len(pairs) or not all(n.isascii() and n.isdigit() for n in found.values()):
        fail(f"{plain(text)!r} are no offsets such as {like}")
    return {place: int(offset) for place, offset in found.items()}


class _OneLineErrors:
    """A usage error is one line and exit code 2, not a drawing of several."""

    def main(self, *words: Any, standalone_mode: bool = True, **more: Any) -> Any:
        try:
            code = super().main(*words, standalone_mode=False, **more)  # type: ignore[misc]
        except (typer.TyperException, typer.Abort, OSError) as error:
            if not standalone_mode:
                raise
            code, why = _refusal(error)
            if why:  # a command without words prints its help, no error
                sys.stderr.write(f"saga: {plain(why)}\n")
        if standalone_mode:
            sys.exit(code or 0)
        return code


class OneLine(_OneLineErrors, TyperGroup):
    """A group of commands."""


class OneLineCommand(_OneLineErrors, TyperCommand):
    """A program that is one command."""


def _refusal(error: typer.TyperException | typer.Abort | OSError) -> tuple[int, str]:
    """The exit code, and what is said of it in one line."""
    if isinstance(error, OSError):
        return 2, f"{error.filename}: {message_of(error)}" if error.filename else message_of(error)
    if isinstance(error, typer.Abort):
        return 1, "nothing was done"
    return error.exit_code, " ".join(error.format_message().split())
