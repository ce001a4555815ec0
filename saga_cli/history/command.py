"""saga timeline | events"""

from typing import Annotated

import typer

from saga_cli.archive.command import ArchiveUrl
from saga_cli.log.source import Limit
from saga_cli.ops.options import AsJson
from saga_cli.ops.orders import OrderArgument
from saga_cli.terminal import fail, instant, offsets, period

OFFSETS_LIKE = "order.forward/3=120,payment.forward/3=88"
AS_IT_WAS = f"As the log was at this instant (ISO, UTC), or before offsets such as {OFFSETS_LIKE}."
HistoryUntil = Annotated[str, typer.Option(help=AS_IT_WAS)]


def timeline(
    order_id: OrderArgument,
    until: HistoryUntil = "",
    archive: ArchiveUrl = "",
    *,
    as_json: AsJson = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="A sequence diagram.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Where its traces are shown, beside the table.")
    ] = False,
) -> None:
    """Show what led to what in an order, and how long each step took, from the log alone."""
    if as_json and mermaid:
        fail("--json or --mermaid, not both")
    if trace and (as_json or mermaid):
        fail("--trace is for the table")
    at, ends = (None, offsets(until, OFFSETS_LIKE)) if "=" in until else (instant(until), {})
    from saga_cli.history import running  # noqa: PLC0415 - with all that reads the log it is slow

    forms = {"as_json": as_json, "mermaid": mermaid, "trace": trace}
    running.timeline(order_id, Limit(at, ends), archive, **forms)


def events(  # noqa: PLR0913 - each is an option
    type_: Annotated[str, typer.Option("--type", help="Such as payment.captured, or stock.*")] = "",
    order: Annotated[str, typer.Option(help="Of this order, or other subject, alone.")] = "",
    since: Annotated[str, typer.Option(help="Appended from this instant on (ISO, UTC).")] = "",
    until: Annotated[str, typer.Option(help="Appended before this instant.")] = "",
    partition: Annotated[int | None, typer.Option(min=0, help="Of each topic.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest, at most so many.")] = 1000,
    archive: ArchiveUrl = "",
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line.")] = False,
) -> None:
    """Print events of all services in the order of time."""
    if follow and until:
        fail("--follow has no end: leave --until out")
    instants = period(since, until)
    from saga_cli.history import running  # noqa: PLC0415 - slow, see above
    from saga_cli.history.reading import Looked, why_unknown  # noqa: PLC0415

    if why := why_unknown(type_):
        fail(why)
    looked = Looked(type_, order, *instants, partition, limit)
    running.events(looked, archive, follow=follow, as_json=as_json)
