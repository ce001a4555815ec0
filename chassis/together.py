"""Statements that change data, sent as one: a batch costs one round trip, however many tables it writes.

Each is a common table expression with RETURNING. PostgreSQL runs them in their order, but for one
that asks for the rows of another (its `after`); none sees what the others write. Either all of them count,
in a transaction or without one, or none does.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import asyncpg

from chassis.errors import ConcurrentChangeError
from chassis.postgres_types import Connection


@dataclass(frozen=True, slots=True)
class Part:
    """`rows` is how many it must write where another writer may have been faster; None for any.

    `answer` is what it tells of the rows that it returned, as an SQL expression.
    """

    name: str
    sql: str
    values: Sequence[Any]
    rows: int | None = None
    answer: str = "count(*)"


async def run(connection: Connection, parts: Sequence[Part]) -> dict[str, Any]:
    """What each part answered. Raises ConcurrentChangeError where one would write fewer rows than it must."""
    if not parts:
        return {}
    text = _text(tuple((part.name, part.sql, part.answer, part.rows is None) for part in parts))
    values = [value for part in parts for value in part.values]
    wanted = [part.rows for part in parts if part.rows is not None]
    try:
        row = await connection.fetchrow(text, *values, wanted)
    except asyncpg.DivisionByZeroError:
        names = ", ".join(part.name for part in parts if part.rows is not None)
        raise ConcurrentChangeError(f"somebody else was first to write rows of {names}") from None
    return {part.name: row[nth] for nth, part in enumerate(parts)}


@lru_cache(maxsize=1000)
def _text(parts: tuple[tuple[str, str, str, bool], ...]) -> str:
    """The last value is how many rows those parts must write of which that is known."""
    tables, answers, before = [], [], 0
    for name, sql, answer, _ in parts:
        tables.append(f"{name} AS ({_shifted(sql, before)})")
        before += max(map(int, re.findall(r"\$(\d+)", sql)))
        answers.append(f"(SELECT {answer} FROM {name})")  # noqa: S608 - own names
    counts = [f"(SELECT count(*) FROM {name})" for name, _, _, is_any in parts if not is_any]  # noqa: S608
    agreed = f"ARRAY[{', '.join(counts)}]::bigint[] = ${before + 1}::bigint[]"
    answers.append(f"1 / ({agreed})::int")  # the one way to fail in an expression
    return f"WITH {', '.join(tables)} SELECT {', '.join(answers)}"


def _shifted(sql: str, by: int) -> str:
    return re.sub(r"\$(\d+)", lambda found: f"${int(found[1]) + by}", sql)


def columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as what a statement takes them by: one array a column."""
    return [list(column) for column in zip(*rows, strict=True)]


def unnested(kinds: Iterable[str]) -> str:
    """Such arrays as rows again, from the first parameter on; `kinds` are the columns' SQL types."""
    return f"unnest({', '.join(f'${n}::{kind}[]' for n, kind in enumerate(kinds, 1))})"


def after(*names: str) -> str:
    """A condition that is true once those parts have written their rows."""
    counts = (f"(SELECT count(*) FROM {name}) >= 0" for name in names)  # noqa: S608 - own names
    return " AND ".join(counts) or "true"
