"""saga republish | erase: events that Kafka has lost, sent again; an order's personal data, erased."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from saga_cli.ops.options import chosen
from saga_cli.ops.orders import OrderId
from saga_cli.progress import shown
from saga_cli.targets import found
from saga_cli.terminal import console, fail, plain, table_of

if TYPE_CHECKING:
    from saga_cli.republish.services import Republished


def republish(
    service: Annotated[str, typer.Argument(help="Such as payment; all five without one.")] = "",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and send nothing.")] = False,
) -> None:
    """Put back what the topics lack of what was published; exit 1 if some of it is kept no more."""
    results = _run(chosen(service), dry_run=dry_run)
    _print(results, dry_run=dry_run)
    if any(result.lost for result in results):
        raise typer.Exit(1)


def _run(names: list[str], *, dry_run: bool) -> "list[Republished]":
    from chassis.errors import ChassisError  # noqa: PLC0415 - with all that publishes it is slow
    from saga_cli.clients import in_one_line  # noqa: PLC0415
    from saga_cli.republish.services import InterruptedSendError, republish  # noqa: PLC0415

    with in_one_line(InterruptedSendError, ChassisError), shown() as progress_of:
        progress = {name: progress_of(name) for name in names}
        return asyncio.run(republish(found(), names, progress, dry_run=dry_run))


def _print(results: "list[Republished]", *, dry_run: bool) -> None:
    figures = ("kept", "missing", "to send" if dry_run else "sent", "lost")
    shown = table_of("service", *figures, right=figures)
    for r in results:
        shown.add_row(r.service, *map(str, (r.kept, r.missing, r.again, r.lost)))
    console.print(shown)
    if lost := sum(result.lost for result in results):
        console.print(f"[red]{lost} events are in no topic and kept no more.[/]")


def erase(order_id: OrderId) -> None:
    """Erase an order's name and address wherever they are; what the order came to stays."""
    from saga_cli.clients import in_one_line  # noqa: PLC0415 - slow, see above
    from saga_cli.republish.erasing import erased  # noqa: PLC0415

    with in_one_line():
        known = asyncio.run(erased(found().store_of("order"), order_id))
    if not known:
        fail(f"there is no order {plain(order_id)}", 1)
    console.print(f"The delivery details of {plain(order_id)} are erased.", markup=False)
