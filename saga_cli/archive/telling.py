"""Runs `saga report`."""

import json
import sys
from typing import Any

from rich.table import Table

from saga_cli.archive.figures import figures
from saga_cli.archive.files import Archive
from saga_cli.one_line import in_one_line
from saga_cli.terminal import console, plain


def report(url: str, *, as_json: bool) -> None:
    with in_one_line():
        found = figures(Archive.at(url))
    if as_json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    for title, rows in found.items():
        if rows:
            console.print(_table(title, rows))


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        text = isinstance(rows[0][name], str)
        table.add_column(name.replace("_", " "), justify="left" if text else "right")
    for row in rows:
        table.add_row(*(plain("" if value is None else f"{value}") for value in row.values()))
    return table
