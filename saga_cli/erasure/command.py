"""saga erase | erasures: personal and card data, erased and proved to be; and the records of it."""

import asyncio
import getpass
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from guarantees.counts import counted
from saga_cli.ops.options import AsJson
from saga_cli.targets import found
from saga_cli.terminal import console, fail, plain, print_json, table_of

if TYPE_CHECKING:
    from saga_cli.erasure.erasing import Subject
    from saga_cli.erasure.proving import Place

WAIT_S: Final = 60.0
BURIED: Final = (
    "What is buried Kafka removes when it compacts: within two days, if the topic has the settings with"
    " which services make it (max.compaction.lag.ms)."
)
NAMED: Final = (
    "Events of release 0.2 and before name this customer, and are kept: they can't be erased."
    " What links them to orders, addresses and payments of this customer is erased."
)
ARCHIVED: Final = (
    "An archive has none of it, unless somebody archived one of these topics by --topic."
)


def erase(
    order_id: Annotated[str, typer.Argument(help="An order's id; or give --customer.")] = "",
    *,
    customer: Annotated[str, typer.Option(help="All of a customer, by the id in tokens.")] = "",
    by: Annotated[str, typer.Option(help="Who erases, for the record; default: your login.")] = "",
    wait: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds in which all services may follow.")
    ] = WAIT_S,
) -> None:
    """Erase what identifies a customer, or where an order went and what paid for it; prove that it is gone.

    Orders themselves are kept, under a pseudonym that nothing links to anybody. Orders have to be
    settled. An erasure that was interrupted may be repeated. Exit 1: something is left.
    """
    if bool(order_id) == bool(customer):
        fail("give an order's id, or --customer")
    from saga_cli.clients import in_one_line  # noqa: PLC0415 - with what it reads it is slow
    from saga_cli.erasure import erasing, proving  # noqa: PLC0415
    from saga_cli.erasure.record import signing_key  # noqa: PLC0415

    places, who, key = found(), by or _login(), signing_key()
    try:
        with in_one_line():
            if customer:
                subject = asyncio.run(erasing.erase_customer(places, customer, who, key))
            elif (order := asyncio.run(erasing.erase_order(places, order_id, who, key))) is None:
                fail(f"there is no order {plain(order_id)}", 1)
            else:
                subject = order
            left = asyncio.run(proving.proof(places, subject, wait))
    except erasing.OpenOrdersError as error:
        fail(str(error), 1)
    _print(subject, left, customer or order_id)


def _print(subject: "Subject", places: "list[Place]", what: str) -> None:
    columns = ("left", "buried")
    shown = table_of("place", *columns, right=columns)
    for place in places:
        shown.add_row(place.name, str(place.left or "none"), str(place.buried or "none"))
    console.print(shown)
    if any(place.buried for place in places):
        console.print(BURIED)
    if subject.is_named_in_events:
        console.print(NAMED)
    console.print(ARCHIVED)
    if any(place.left for place in places):
        fail(f"{plain(what)} is erased in part: see above, and run it again", 1)
    orders = f", with {counted(len(subject.orders), 'order')}" if subject.customer_id else ""
    console.print(f"{plain(what)} is erased{orders}: none left.", markup=False)


def erasures(*, as_json: AsJson = False) -> None:
    """List what was erased, when and by whom; exit 1 if a record is not what was signed."""
    from saga_cli.clients import database, in_one_line  # noqa: PLC0415 - slow, see above
    from saga_cli.erasure.record import ErasureRecord, records, signing_key  # noqa: PLC0415

    async def read() -> list[ErasureRecord]:
        async with database(found().store_of("order")) as connection:
            return await records(connection)

    with in_one_line():
        kept, key = asyncio.run(read()), signing_key()
    rows = [(record, record.is_genuine(key)) for record in kept]
    if as_json:
        print_json(
            [
                {**asdict(record), "at": record.at.isoformat(), "genuine": genuine}
                for record, genuine in rows
            ]
        )
    else:
        shown = table_of("at", "by", "pseudonym", "orders", "signature")
        for record, genuine in rows:
            orders = str(len(record.orders)) if record.pseudonym else ", ".join(record.orders)
            at, verdict = f"{record.at:%Y-%m-%d %H:%M:%S}", "good" if genuine else "WRONG"
            shown.add_row(at, *map(plain, (record.by, record.pseudonym, orders)), verdict)
        console.print(shown)
    if not all(genuine for _, genuine in rows):
        raise typer.Exit(1)


def _login() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return "saga"
