"""The command `saga console`, for what the operators' console keeps."""

from typing import Annotated

import typer

from saga_cli.ops.options import AsJson, Why, Yes
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


failures = typer.Typer(cls=OneLine, no_args_is_help=True)


@failures.callback()
def of_failures() -> None:
    """What is parked, and calls that are tried again, by service, event and error; repairs of a group."""


@failures.command("list")
def list_failures(*, as_json: AsJson = False) -> None:
    """Groups of failures, the largest first: which service, what, why, how many orders and since when."""
    from console.terminal.repairing import show_groups  # noqa: PLC0415 - with all services it is slow

    show_groups(as_json=as_json)


@failures.command()
def repair(
    group: Annotated[str, typer.Argument(help="As `saga failures list` shows it.")],
    wanted: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILTER]...", help="Only orders that meet it, such as older:5m."),
    ] = None,
    *,
    note: Why = "",
    action: Annotated[
        str,
        typer.Option("--do", help="redrive, discard or expedite; default: the first that fits."),
    ] = "",
    rate: Annotated[int, typer.Option(min=1, max=500, help="Orders a second at most.")] = 50,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of them; change nothing.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Redrive, discard or expedite the failures that a group has now; exit 1 if one is refused.

    Ctrl-C stops it: what it has done stands. The audit trail has an entry for all, and one for each message.
    """
    from console.terminal.repairing import GroupRepair, repair_group  # noqa: PLC0415 - slow, see above

    repair_group(
        GroupRepair(group, tuple(wanted or ()), note, action, rate), dry_run=dry_run, yes=yes
    )


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
