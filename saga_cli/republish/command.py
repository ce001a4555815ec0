"""saga republish | erase: events that Kafka has lost, sent again; an order's personal data, erased."""

import asyncio
from itertools import product
from typing import TYPE_CHECKING, Annotated, Final

import typer

from saga_cli.ops.options import chosen
from saga_cli.ops.orders import OrderArgument
from saga_cli.progress import shown
from saga_cli.targets import found
from saga_cli.terminal import console, fail, plain, table_of
from shared_events.catalog import CATALOG

if TYPE_CHECKING:
    from saga_cli.republish.services import Republished

ERASE: Final = (
    "DELETE FROM outbox WHERE topic = $1 AND key = $2",  # first: what a relay moves is kept then
    "DELETE FROM published WHERE topic = $1 AND key = $2",
    "INSERT INTO outbox (shard, topic, key, headers) VALUES (0, $1, $2, '[]')",
)
"""The last is a tombstone: on its way to Kafka like any row, and to its readers from there."""


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


def erase(order_id: OrderArgument) -> None:
    """Erase what an order was paid with and where it went from all stores and topics; the order is kept."""
    from saga_cli.clients import in_one_line  # noqa: PLC0415 - slow, see above

    with in_one_line():
        known = asyncio.run(_erased(found().store_of("order"), order_id))
    if not known:
        fail(f"there is no order {plain(order_id)}", 1)
    console.print(
        f"The payment and delivery details of {plain(order_id)} are erased.", markup=False
    )


async def _erased(url: str, order_id: str) -> bool:
    from saga_cli.clients import database  # noqa: PLC0415 - slow, see above

    async with database(url) as connection, connection.transaction():
        if not await connection.fetchval("SELECT 1 FROM orders WHERE order_id = $1", order_id):
            return False
        for topic, statement in product(sorted(CATALOG.compacted), ERASE):
            await connection.execute(statement, topic, order_id)
    return True
