"""The command `saga console`, for what the operators' console keeps."""

from typing import Annotated

import typer

from saga_cli.ops.options import AsJson
from saga_cli.terminal import OneLine

app = typer.Typer(cls=OneLine, no_args_is_help=True)


@app.callback()
def console() -> None:
    """Look after the database of the operators' console."""


@app.command()
def rebuild() -> None:
    """Empty the console's database and have it read the log anew: now if it runs, else when it starts.

    What people did in the console stays.
    """
    from console.command import rebuild_now  # noqa: PLC0415 - with all services it is slow

    rebuild_now()


def orders(
    wanted: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILTER]...", help="Such as state:pending step:payment older:5m."),
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Orders at most.")] = 50,
    as_csv: Annotated[bool, typer.Option("--csv", help="As the console's page gives it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Orders that meet a filter, the newest first: the console's list, with the same words.

    All words have to hold; docs/console.md lists them. It reads the console's database.
    """
    from console.terminal.command import show_orders  # noqa: PLC0415 - with all services it is slow

    show_orders(wanted or (), limit=limit, as_json=as_json, as_table=not as_csv)


def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print it once, as text, and end.")] = False,
    every: Annotated[
        float, typer.Option(min=0.5, max=3600, help="Seconds until all is read again.")
    ] = 2.0,
) -> None:
    """Where orders wait, since when and who must act, and what fails: the console without a browser.

    Enter repairs the chosen group: parked messages are decided on once more, calls are made now.
    """
    from console.terminal.command import show  # noqa: PLC0415 - with all services it is slow

    show(once=once, every_s=every)
