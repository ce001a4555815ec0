"""The list of orders: a filter text, cursor pages, counts with a cap, and the same as CSV."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import FastAPI, Query, Request, Response

from chassis.http import Problem, open_to, text
from console.model import Filter, OrderRow, Page
from console.queries import Queries
from console.web.asking import ServiceDirectory
from console.web.context import Console
from console.web.failures import Failure, FailureSearch
from console.web.filters import IN_FLIGHT, LENGTH_MAX, FilterError, Wanted, parse, with_word
from console.web.rendering import page
from console.web.session import LOOK, viewer_of

CSV_ROWS: Final = 10_000
CSV_PAGE: Final = 500
RISKY: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula."""
COLUMNS: Final = (
    *("id", "state", "step", "edges", "since", "placed_at", "settled_at", "reason", "refused_by"),
    *("customer", "total_minor", "currency", "events", "trace_id"),
)
CHIPS: Final = (
    ("All", ""),
    ("In flight only", IN_FLIGHT),
    ("Waiting for a minute", f"{IN_FLIGHT} waiting:1m"),
    ("Retried", "retrying:yes"),
    ("Confirmed", "state:confirmed"),
    ("Cancelled", "state:cancelled"),
)
"""Filters in one click."""
FilterQuery = Annotated[str, text(LENGTH_MAX, 0), Query(alias="filter")]
CursorQuery = Annotated[str, text(200, 0), Query()]


def add_orders(app: FastAPI, console: Console) -> None:
    @app.get("/orders", include_in_schema=False)
    @open_to(LOOK)
    async def show_orders(
        request: Request, wanted: FilterQuery = "", cursor: CursorQuery = ""
    ) -> Response:
        viewer = viewer_of(request)
        values = await _listed(console, wanted, cursor, viewer.token)
        status = 422 if values["wrong"] else 200
        return page(request, "orders.html", viewer, status, **values)

    @app.get("/orders.csv", include_in_schema=False)
    @open_to(LOOK)
    async def get_csv(request: Request, wanted: FilterQuery = "") -> Response:
        """What the list shows, all of its pages up to CSV_ROWS."""
        try:
            asked = await _resolved(console, wanted, viewer_of(request).token)
        except FilterError as error:
            raise Problem(422, "no_filter", str(error)) from None
        rows = [row async for row in rows_of(console.queries, asked, CSV_ROWS)]
        headers = {"Content-Disposition": 'attachment; filename="orders.csv"'}
        return Response(as_csv(rows), media_type="text/csv", headers=headers)


async def _listed(console: Console, wanted: str, cursor: str, token: str) -> Mapping[str, Any]:
    """What the page shows; `wrong` says what is wrong with the filter."""
    found: Page[OrderRow] = Page(())
    wrong, count = "", None
    try:
        asked = await _resolved(console, wanted, token)
        found = await console.queries.orders(asked, cursor)
        count = await console.queries.count(asked)
    except FilterError as error:
        wrong = str(error)
    except ValueError:  # a cursor that is none
        raise Problem(400, "no_cursor", "that page is not there: begin with the first") from None
    return {
        "wanted": wanted,
        "wrong": wrong,
        "rows": found.rows,
        "count": count,
        "is_first": not cursor,
        "next": urlencode({"filter": wanted, "cursor": found.next}) if found.next else "",
        "csv": urlencode({"filter": wanted}),
        "chips": CHIPS,
        "reasons": await console.queries.reasons(),
        "with_word": with_word,
    }


async def _resolved(console: Console, wanted: str, token: str) -> Filter:
    return await resolved(console.queries, console.services, parse(wanted), token)


async def resolved(
    queries: Queries, services: ServiceDirectory, wanted: Wanted, token: str
) -> Filter:
    """With the orders whose calls are retried, which only the services know. Raises FilterError."""
    if wanted.retrying is None:
        return wanted.filter
    if not wanted.retrying:
        raise FilterError("retrying:no is every other order: leave it out")
    asking = FailureSearch(services, token)
    failures = await asking.retried(queries)
    for service, why in asking.silent.items():
        raise FilterError(f"{service} does not say whose call is tried again: {why}")
    return replace(wanted.filter, ids=frozenset(failure.key for failure in failures))


async def meeting(
    queries: Queries, failures: Sequence[Failure], asked: Filter
) -> tuple[Failure, ...]:
    """Those of the failures whose orders meet a filter, in their order."""
    keys = frozenset(failure.key for failure in failures)
    asked = replace(asked, ids=keys if asked.ids is None else keys & asked.ids)
    found = {row.id async for row in rows_of(queries, asked, len(keys))}
    return tuple(failure for failure in failures if failure.key in found)


async def rows_of(queries: Queries, asked: Filter, limit: int) -> AsyncIterator[OrderRow]:
    """The newest that meet a filter, read in pages."""
    cursor, left = "", limit
    while left > 0:
        found = await queries.orders(asked, cursor, min(left, CSV_PAGE))
        for row in found.rows:
            yield row
        left -= len(found.rows)
        cursor = found.next
        if not cursor:
            return


def as_csv(rows: Iterable[OrderRow]) -> str:
    """RFC 4180, with a heading; no cell begins as a formula does."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(COLUMNS)
    writer.writerows(list(_cells(row)) for row in rows)
    return written.getvalue()


def _cells(row: OrderRow) -> Iterator[str]:
    for name in COLUMNS:
        value = getattr(row, name)
        match value:
            case None:
                yield ""
            case datetime():
                yield value.isoformat()
            case tuple():
                yield " ".join(value)
            case _:
                cell = str(value)
                yield f"'{cell}" if cell.startswith(RISKY) else cell
