"""saga schema check | show | export: the events as JSON Schema, and what a change of them breaks."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from guarantees.counts import counted
from saga_cli.schema import sources
from saga_cli.schema.comparing import SchemaChange, changes, merged
from saga_cli.schema.snapshot import Vocabulary, written
from saga_cli.terminal import OneLine, console, fail, plain, print_json, table_of, write

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
WHERE: Final = "a file of `schema export`, a checkout, or a revision of git"
app = typer.Typer(
    cls=OneLine, help="The vocabulary of events, and what a change breaks.", no_args_is_help=True
)


@app.command()
def check(
    old: Annotated[str, typer.Argument(help=f"{WHERE}; the newest stored one without.")] = "",
    new: Annotated[str, typer.Argument(help="The same; this code without one.")] = "",
    *,
    against: Annotated[str, typer.Option(help="Another way to give OLD.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="All of it, for programs.")] = False,
) -> None:
    """Compare two vocabularies; exit 1 if a reader of one can't read events of the other."""
    if old and against:
        fail("give OLD or --against, not both")
    before = old or against or str(sources.newest_stored())
    then = sources.vocabulary(before)
    now = sources.vocabulary(new) if new else sources.here()
    found = merged(list(changes(then, now)))
    if as_json:
        print_json([asdict(change) for change in found])
    else:
        _print(found, f"{counted(len(then), 'type')} of {Path(before).name}, {len(now)} now")
    if any(change.breaks for change in found):
        raise typer.Exit(1)


def _print(found: list[SchemaChange], counts: str) -> None:
    for change in found:
        line = f"{'breaking' if change.breaks else 'fine':9}{change.wire_type}: {change.what}"
        line += f" ({change.breaks})" if change.breaks else ""
        write(plain(line), "red" if change.breaks else None)
    breaking = sum(bool(change.breaks) for change in found)
    console.print(f"{counts}: {breaking} breaking, {len(found) - breaking} fine.")
    console.print(
        "What breaks needs a new version and an upcaster: docs/evolution.md."
        if breaking
        else "New code reads all old events, old code all new ones of the versions that it knows."
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="[TYPE]", help="Such as stock.reserved.v1.")] = "",
) -> None:
    """Print the JSON Schema of an event, or a list of all."""
    vocabulary = sources.here()
    if not name:
        console.print(_table(vocabulary))
        return
    found = next((t for t in vocabulary if name in {t, t.rpartition(".v")[0]}), "")
    if not found:
        newer = [t for t, event in vocabulary.items() if name in event.reads]
        fail(f"{name} is read as {newer[0]}" if newer else f"there is no event {plain(name)!r}")
    schema = {"$schema": DIALECT, "title": found, **vocabulary[found].schema}
    sys.stdout.write(json.dumps(schema, indent=2) + "\n")


def _table(vocabulary: Vocabulary) -> Table:
    shown = table_of("type", "owner", "topic", "key", "also reads")
    for name, event in vocabulary.items():
        shown.add_row(name, event.owner, event.topic, event.key, ", ".join(event.reads))
    return shown


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="A new file; none is replaced.")],
    of: Annotated[str, typer.Option(help=f"{WHERE}; this code without.")] = "",
) -> None:
    """Write a vocabulary to a file, to compare with later."""
    vocabulary = sources.vocabulary(of) if of else sources.here()
    try:
        with file.open("xb") as opened:
            opened.write(written(vocabulary))
    except OSError as error:
        fail(f"{plain(str(file))} can't be written: {error.strerror}")
    console.print(f"{counted(len(vocabulary), 'type')} in {plain(str(file))}", markup=False)
