"""Runs `saga report`."""

from typing import Any

from rich.table import Table

from saga_cli.archive.figures import figures
from saga_cli.archive.files import Archive
from saga_cli.one_line import in_one_line
from saga_cli.terminal import console, plain, print_json, table_of


def report(url: str, *, as_json: bool) -> None:
    with in_one_line():
        found = figures(Archive.at(url))
    if as_json:
        print_json(found)
        return
    for title, rows in found.items():
        if rows:
            console.print(_table(title, rows))


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    names = {name: name.replace("_", " ") for name in rows[0]}
    numbers = {names[name] for name, value in rows[0].items() if not isinstance(value, str)}
    shown = table_of(*names.values(), right=numbers)
    shown.title, shown.title_justify = title, "left"
    for row in rows:
        shown.add_row(*(plain("" if value is None else f"{value}") for value in row.values()))
    return shown
