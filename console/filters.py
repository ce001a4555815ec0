"""Filters as statements. No IO.

Each statement is driven by one condition that an index serves in the order of a page: by the rarest, as
far as that is known beforehand. With several values it takes the first rows of each. The other
conditions are checked on what it finds.
"""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from console.model import Filter, PageCursor

DRIVERS: Final = {
    "customer": "customers",
    "step": "steps",
    "reason": "reasons",
    "state": "states",
}
"""Columns with an index by time, and fields of a filter, the rarest values first."""
PARTIAL: Final = frozenset({"step", "reason"})
"""Their indexes leave out empty texts; a statement has to say so too."""
LAST: Final = "\U0010ffff"


class PagePlace(NamedTuple):
    """Where a page begins: after the order that began at a time, and has an id."""

    began_at: datetime
    id: str


def cursor_of(place: PagePlace) -> PageCursor:
    return base64.urlsafe_b64encode(f"{place.began_at.isoformat()} {place.id}".encode()).decode()


def place_of(cursor: PageCursor) -> PagePlace:
    """Raises ValueError for a cursor that is none."""
    try:
        at, _, id_ = base64.b64decode(cursor, "-_", validate=True).decode().partition(" ")
        began_at = datetime.fromisoformat(at)
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise ValueError("it is no cursor") from error
    if began_at.tzinfo is None or not id_:
        raise ValueError("it is no cursor")
    return PagePlace(began_at, id_)


@dataclass(slots=True)
class Statement:
    """SQL with its values; `conditions` are on the table orders, here called o."""

    values: list[Any] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    source: str = "orders AS o"

    def value(self, value: Any) -> str:
        """Its parameter."""
        self.values.append(value)
        return f"${len(self.values)}"

    def where(self, *conditions: str) -> None:
        self.conditions += conditions

    def _inner(self, columns: str, order: str, limit: str) -> str:
        conditions = " AND ".join(self.conditions) or "true"
        return f"SELECT {columns} FROM {self.source} WHERE {conditions}{order} LIMIT {limit}"  # noqa: S608 - columns and parameters of this module

    def sql(
        self, columns: str, order: str, limit: int, driver: tuple[str, list[str]] | None
    ) -> str:
        number = self.value(limit)
        if driver is None:
            return self._inner(columns, order, number)
        column, values = driver
        self.where(f"o.{column} = driver.value")
        if column in PARTIAL:
            self.where(f"o.{column} <> ''")
        inner = self._inner(columns, order, number)
        given = self.value(values)
        return (
            f"SELECT {columns} FROM unnest({given}::text[]) AS driver (value)"  # noqa: S608 - as above
            f" CROSS JOIN LATERAL ({inner}) AS o{order} LIMIT {number}"
        )


NEWEST_FIRST: Final = " ORDER BY o.began_at DESC, o.id DESC"


def paging(
    wanted: Filter, after: PagePlace | None, limit: int, now: datetime, *, rare_edges: bool
) -> tuple[str, list[Any]]:
    """A page of orders, the newest first. `rare_edges` says that few orders wait on those edges."""
    statement = Statement()
    driver = _conditions(statement, wanted, now, rare_edges=rare_edges)
    if after is not None:
        at, id_ = statement.value(after.began_at), statement.value(after.id)
        statement.where(f"(o.began_at, o.id) < ({at}, {id_})")
    return statement.sql("o.*", NEWEST_FIRST, limit, driver), statement.values


def counting(
    wanted: Filter, limit: int, now: datetime, *, rare_edges: bool
) -> tuple[str, list[Any]]:
    """How many orders there are, at most `limit`."""
    statement = Statement()
    driver = _conditions(statement, wanted, now, rare_edges=rare_edges)
    inner = statement.sql("o.id", "", limit, driver)
    return f"SELECT count(*) FROM ({inner}) AS found", statement.values  # noqa: S608 - as above


def _conditions(
    statement: Statement, wanted: Filter, now: datetime, *, rare_edges: bool
) -> tuple[str, list[str]] | None:
    """What drives the statement, a column and values; None where its source does, or the time alone."""
    value, where = statement.value, statement.where
    if wanted.ids is not None:
        where(f"o.id = ANY({value(sorted(wanted.ids))}::text[])")
    if wanted.text:
        where(f"o.id >= {value(wanted.text)}", f"o.id < {value(wanted.text + LAST)}")
    if wanted.edges:
        _on_edges(statement, sorted(wanted.edges), rare=rare_edges)
    if wanted.older is not None:
        where(f"o.began_at <= {value(now - wanted.older)}")
    if wanted.waiting is not None:
        where(f"o.newest_at <= {value(now - wanted.waiting)}")
    if wanted.placed_from is not None:
        where(f"o.began_at >= {value(wanted.placed_from)}")
    if wanted.placed_until is not None:
        where(f"o.began_at < {value(wanted.placed_until)}")
    if wanted.in_flight is not None:
        where(f"o.settled_at IS {'' if wanted.in_flight else 'NOT '}NULL")
    given = {c: sorted(getattr(wanted, name)) for c, name in DRIVERS.items()}
    given = {column: values for column, values in given.items() if values}
    is_driven = wanted.ids is not None or wanted.text or wanted.edges
    driver = None if is_driven or not given else next(iter(given))
    for column, values in given.items():
        if column != driver:
            where(f"o.{column} = ANY({value(values)}::text[])")
    return None if driver is None else (driver, given[driver])


def _on_edges(statement: Statement, edges: list[str], *, rare: bool) -> None:
    """Few orders are found by where they wait; of many, the newest that move are looked at in turn."""
    given = statement.value(edges)
    waits = f"SELECT FROM waits AS w WHERE w.edge = ANY({given}::text[])"
    if rare:
        distinct = f"SELECT DISTINCT order_id {waits.removeprefix('SELECT ')}"
        statement.source = f"({distinct}) AS waiting JOIN orders AS o ON o.id = waiting.order_id"
    else:
        statement.where("o.quiet_at IS NULL", f"EXISTS ({waits} AND w.order_id = o.id)")
