"""saga outbox list | redrive | discard: events that Kafka refused for good."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from saga_cli.ops.ops_client import Directory
from saga_cli.ops.options import (
    AsJson,
    OneService,
    ServiceArgument,
    Why,
    Yes,
    confirmed,
    list_rows,
)
from saga_cli.terminal import OneLine, age, plain, write

app = typer.Typer(cls=OneLine, help="Events that Kafka refused for good.", no_args_is_help=True)
RowArgument = Annotated[str, typer.Argument(help="The row's id, as `saga outbox list` shows it.")]


@app.command("list")
def list_(service: OneService = None, *, as_json: AsJson = False) -> None:
    """Show the rows that Kafka refused, and how many of the same key wait for each."""
    list_rows(service, _rows, table=_table, none="Kafka refused nothing.", as_json=as_json)


@app.command()
def redrive(service: ServiceArgument, row: RowArgument, note: Why) -> None:
    """Publish a row after all, once the topic takes it; then those that wait for it."""
    done = _settle(service, "redrive", id=row, note=note)
    write(f"{_named(done)} is tried again.")


@app.command()
def discard(service: ServiceArgument, row: RowArgument, reason: Why, *, yes: Yes = False) -> None:
    """Remove a row for good: an event that no service will get; the audit trail keeps it."""
    confirmed(f"Discard row {row} of {service}? It is never published.", yes=yes)
    done = _settle(service, "discard", id=row, note=reason)
    write(f"{_named(done)} is discarded.")


def _settle(service: str, how: str, **body: str) -> dict[str, Any]:
    done: dict[str, Any] = Directory.found(service).post(service, f"/ops/outbox/{how}", **body)
    return done


def _rows(asked: Directory, service: str) -> Sequence[dict[str, Any]]:
    rows: Sequence[dict[str, Any]] = asked.get(service, "/ops/outbox", limit=500)
    return rows


def _named(row: dict[str, Any]) -> str:
    return f"Row {row['id']} ({plain(row['type']) or plain(row['topic'])} of {plain(row['key'])})"


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("service", "id", "key", "event", "bytes", "error", "age", "waiting")
    for row in rows:
        what = (row["type"] or row["topic"], str(row["bytes"]), row["error"])
        shown = (row["service"], row["id"], row["key"], *what)
        table.add_row(*map(Text, (*map(plain, shown), age(row["refused_at"]), str(row["behind"]))))
    return table
