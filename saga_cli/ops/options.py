"""What the operators' commands share: their options, and how they list rows."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from saga_cli.ops.ops_client import Directory, ServiceRefusedError
from saga_cli.terminal import check_terminal, console, fail, plain, print_json
from saga_cli.topology import BY_NAME


def known(service: str | None) -> str | None:
    if service is not None and service not in BY_NAME:
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


ServiceArgument = Annotated[str, typer.Argument(help="Such as payment.", callback=known)]
OneService = Annotated[str | None, typer.Argument(help="One service only.", callback=known)]
Why = Annotated[str, typer.Option(help="Why; the audit trail keeps it.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Don't ask; needed where there is no terminal.")
]


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
    asked, silent = Directory.found(*names), list[ServiceRefusedError]()
    found: list[dict[str, Any]] = []
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
        raise typer.Exit(max(error.exit_code for error in silent))
