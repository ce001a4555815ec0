"""What the operators' commands share: their options, whom they ask, and how refusals end them."""

import getpass
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.table import Table

from saga_cli.ops.ops_client import Directory, NoStackError, ServiceRefusedError
from saga_cli.terminal import check_terminal, console, fail, plain, print_json
from saga_cli.topology import BY_NAME


def known(service: str) -> str:
    if service not in BY_NAME:
        raise typer.BadParameter(f"there are {', '.join(BY_NAME)}")
    return service


def check_service(name: str) -> None:
    if name not in BY_NAME:
        fail(f"there is no service {plain(name)!r}; there are {', '.join(BY_NAME)}")


def chosen(service: str) -> list[str]:
    """One service, or all without a name; another name ends the command with 2."""
    if service:
        check_service(service)
    return [service] if service else [*BY_NAME]


def _known_if_given(service: str | None) -> str | None:
    return None if service is None else known(service)


Service = Annotated[str, typer.Argument(help="Such as payment.", callback=known)]
OneService = Annotated[
    str | None, typer.Argument(help="One service only.", callback=_known_if_given)
]
By = Annotated[str, typer.Option(help="Who does it; the audit trail keeps it.")]
Why = Annotated[str, typer.Option(help="Why; the audit trail keeps it.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Don't ask; needed where there is no terminal.")
]


def directory(*services: str) -> Directory:
    """Where the services are; a missing stack or address ends the command with 2."""
    try:
        return Directory.found(services or tuple(BY_NAME))
    except NoStackError as error:
        fail(str(error))


def operator(by: str) -> str:
    """Who it is, by name or by login; nobody ends the command with 2."""
    name = by or _user()
    if not name:
        fail("give your name with --by")
    return name


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def refused(error: ServiceRefusedError) -> int:
    """The exit code of a refusal: 2 when what was asked is wrong, 1 when it can't be done now."""
    return 2 if error.status in {401, 403, 421, 422} else 1


@contextmanager
def ended_by_refusal() -> Iterator[None]:
    """A service that refuses ends the command, with its reason in one line."""
    try:
        yield
    except ServiceRefusedError as error:
        fail(str(error), refused(error))


def confirmed(question: str, *, yes: bool) -> None:
    """Ends the command unless a person at a terminal agrees, or `--yes` was given."""
    if not yes:
        check_terminal()
        typer.confirm(question, abort=True)


def list_rows(
    service: str | None,
    rows: Callable[[Directory, str], Sequence[dict[str, Any]]],
    *,
    table: Callable[[Sequence[dict[str, Any]]], Table],
    none: str,
    as_json: bool,
) -> None:
    """Print the rows of one service or all; who can't be asked is named, and ends it with 1 or 2."""
    names = (service,) if service else tuple(BY_NAME)
    asked, found, silent = directory(*names), list[dict[str, Any]](), list[ServiceRefusedError]()
    for name in names:
        try:
            found += [{"service": name, **row} for row in rows(asked, name)]
        except ServiceRefusedError as error:
            silent.append(error)
    if as_json:
        print_json(found)
    elif found:
        console.print(table(found))
    elif not silent:
        console.print(none)
    for why in silent:
        sys.stderr.write(f"saga: {why}\n")
    if silent:
        raise typer.Exit(max(map(refused, silent)))
