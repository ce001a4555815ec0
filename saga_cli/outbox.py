"""saga outbox list | redrive | discard: events that Kafka refused for good."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from saga_cli.letters import AsJson, By, Service, directory, operator, refused
from saga_cli.operators import RefusedError
from saga_cli.terminal import OneLine, age, console, fail, plain
from saga_cli.topology import BY_NAME

app = typer.Typer(cls=OneLine, help="Events that Kafka refused for good.", no_args_is_help=True)
RowId = Annotated[str, typer.Argument(help="The row's id, as `saga outbox list` shows it.")]
Note = Annotated[str, typer.Option(help="Why; the audit trail keeps it.")]


@app.command("list")
def list_(
    service: Annotated[str | None, typer.Argument(help="One service only.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the rows that were set aside, and how many of the same key wait behind each."""
    if service is not None and service not in BY_NAME:
        raise typer.BadParameter(f"there are {', '.join(BY_NAME)}")
    names = (service,) if service else tuple(BY_NAME)
    asked, found, silent = directory(*names), list[dict[str, Any]](), list[RefusedError]()
    for name in names:
        try:
            found += [{"service": name, **row} for row in asked.get(name, "/ops/outbox", limit=500)]
        except RefusedError as error:
            silent.append(error)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    elif found:
        console.print(_table(found))
    elif not silent:
        console.print("Kafka refused nothing.")
    for why in silent:
        sys.stderr.write(f"saga: {why}\n")
    if silent:
        raise typer.Exit(max(map(refused, silent)))


@app.command()
def redrive(service: Service, row: RowId, note: Note, *, by: By = "") -> None:
    """Publish a row after all, once the topic takes it; then what is behind it."""
    done = _settle(service, "redrive", id=row, by=operator(by), note=note)
    console.print(f"{_named(done)} is tried again.", markup=False, soft_wrap=True)


@app.command()
def discard(
    service: Service,
    row: RowId,
    reason: Annotated[str, typer.Option(help="Why; the audit trail keeps it.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    by: By = "",
) -> None:
    """Remove a row for good: an event of an order that nobody hears of; the audit trail keeps it."""
    who = operator(by)
    if not yes:
        typer.confirm(f"Discard row {row} of {service}? It is never published.", abort=True)
    done = _settle(service, "discard", id=row, by=who, note=reason)
    console.print(f"{_named(done)} is discarded.", markup=False, soft_wrap=True)


def _settle(service: str, how: str, **body: str) -> dict[str, Any]:
    try:
        done: dict[str, Any] = directory(service).post(service, f"/ops/outbox/{how}", **body)
    except RefusedError as error:
        fail(str(error), refused(error))
    return done


def _named(row: dict[str, Any]) -> str:
    return f"Row {row['id']} ({plain(row['type']) or plain(row['topic'])} of {plain(row['key'])})"


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("service", "id", "key", "event", "bytes", "error", "age", "behind")
    for row in rows:
        what = (row["type"] or row["topic"], str(row["bytes"]), row["error"])
        shown = (row["service"], row["id"], row["key"], *what)
        table.add_row(*map(Text, (*map(plain, shown), age(row["refused_at"]), str(row["behind"]))))
    return table
