"""saga republish: events that Kafka has lost, sent again."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from saga_cli.ops.options import chosen
from saga_cli.progress import shown
from saga_cli.targets import found
from saga_cli.terminal import console, table_of

if TYPE_CHECKING:
    from saga_cli.republish.services import Republished


def republish(
    service: Annotated[str, typer.Argument(help="Such as payment; default: all services.")] = "",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and send nothing.")] = False,
) -> None:
    """Publish again the events that the topics have lost; exit 1 if some are no longer retained."""
    names = chosen(service)
    from chassis.errors import ChassisError  # noqa: PLC0415 - with all that publishes it is slow
    from saga_cli.clients import in_one_line  # noqa: PLC0415
    from saga_cli.republish import services  # noqa: PLC0415

    with in_one_line(services.InterruptedSendError, ChassisError), shown() as progress_of:
        progress = {name: progress_of(name) for name in names}
        results = asyncio.run(services.republish(found(), names, progress, dry_run=dry_run))
    _print(results, dry_run=dry_run)
    if any(result.lost for result in results):
        raise typer.Exit(1)


def _print(results: "list[Republished]", *, dry_run: bool) -> None:
    figures = ("kept", "missing", "to send" if dry_run else "sent", "lost")
    shown = table_of("service", *figures, right=figures)
    for r in results:
        shown.add_row(r.service, *map(str, (r.kept, r.missing, r.again, r.lost)))
    console.print(shown)
    if lost := sum(result.lost for result in results):
        console.print(f"[red]{lost} events are in no topic and no longer retained.[/]")
