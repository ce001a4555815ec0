"""saga republish: events that Kafka has lost, sent again in order."""

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from saga_cli.progress import shown
from saga_cli.targets import found
from saga_cli.terminal import console, fail, message_of, plain, table_of
from saga_cli.topology import BY_NAME, SERVICES

if TYPE_CHECKING:
    from saga_cli.republish.services import Republished


def republish(
    service: Annotated[str, typer.Argument(help="Such as payment; all five without one.")] = "",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and send nothing.")] = False,
) -> None:
    """Put back what the topics lack of what was published; exit 1 if some of it is kept no more."""
    if service and service not in BY_NAME:
        fail(f"there is no service {plain(service)!r}; there are {', '.join(BY_NAME)}")
    names = [service] if service else [spec.name for spec in SERVICES]
    results = _run(names, dry_run=dry_run)
    _print(results, dry_run=dry_run)
    if any(result.lost for result in results):
        raise typer.Exit(1)


def _run(names: list[str], *, dry_run: bool) -> "list[Republished]":
    import asyncpg  # noqa: PLC0415 - with all that publishes it is slow
    from aiokafka.errors import KafkaError  # noqa: PLC0415
    from redis.exceptions import RedisError  # noqa: PLC0415

    from chassis.errors import ChassisError  # noqa: PLC0415
    from saga_cli.republish.services import InterruptedSendError, republish  # noqa: PLC0415

    places = found()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # an error is printed as one line

    async def run() -> "list[Republished]":
        with shown() as progress_of:
            progress = {name: progress_of(name) for name in names}
            return await republish(places, names, progress, dry_run=dry_run)

    errors = (InterruptedSendError, ChassisError, KafkaError, RedisError)
    try:
        return asyncio.run(run())
    except (*errors, asyncpg.PostgresError, OSError, TimeoutError) as error:
        fail(message_of(error))


def _print(results: "list[Republished]", *, dry_run: bool) -> None:
    figures = ("kept", "missing", "to send" if dry_run else "sent", "lost")
    shown = table_of("service", *figures, right=figures)
    for r in results:
        shown.add_row(r.service, *map(str, (r.kept, r.missing, r.again, r.lost)))
    console.print(shown)
    if lost := sum(result.lost for result in results):
        console.print(f"[red]{lost} events are in no topic and kept no more.[/]")
