"""Clauses that change data, sent as one statement: one round trip, however many tables a batch writes.

Each is a common table expression with RETURNING. PostgreSQL runs them in their order, but for one
that asks for the rows of another (see `{after}`); none sees what the others write. Either all of them
count, in a transaction or without one, or none does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import asyncpg

from chassis.errors import ConcurrentChangeError
from chassis.postgres.types import Connection


@dataclass(frozen=True, slots=True)
class Clause:
    """`sql` names its parameters, as `{ids}`; `{after}` is true once the clauses before it have written.

    `rows` is how many it must return where another writer may have been faster; None for any.
    `answer` is what it tells of the rows that it returned, as an SQL expression.
    """

    name: str
    sql: str
    values: Mapping[str, Any]
    rows: int | None = None
    answer: str = "count(*)"


async def run(connection: Connection, clauses: Sequence[Clause]) -> dict[str, Any]:
    """What each clause answered. Raises ConcurrentChangeError where one returns other than `rows` rows."""
    if not clauses:
        return {}
    text = _text(tuple((c.name, c.sql, c.answer, tuple(c.values), c.rows is None) for c in clauses))
    values = [value for clause in clauses for value in clause.values.values()]
    wanted = [clause.rows for clause in clauses if clause.rows is not None]
    try:
        row = await connection.fetchrow(text, *values, wanted)
    except asyncpg.SerializationError as error:
        names = ", ".join(clause.name for clause in clauses if clause.rows is not None)
        raise ConcurrentChangeError(f"{error}, one of {names}") from None
    return {clause.name: row[nth] for nth, clause in enumerate(clauses)}


@lru_cache(maxsize=1000)
def _text(clauses: tuple[tuple[str, str, str, tuple[str, ...], bool], ...]) -> str:
    """The last value is how many rows those clauses must return of which that is known."""
    tables: list[str] = []
    answers: list[str] = []
    counts: list[str] = []
    number = 0
    for name, sql, answer, parameters, is_any in clauses:
        after = " AND ".join(f"{count} >= 0" for count in counts) or "true"
        numbers = {parameter: f"${number + nth}" for nth, parameter in enumerate(parameters, 1)}
        number += len(parameters)
        tables.append(f"{name} AS ({sql.format_map({**numbers, 'after': after})})")
        answers.append(f"(SELECT {answer} FROM {name})")  # noqa: S608 - own names
        counts += [] if is_any else [f"(SELECT count(*) FROM {name})"]  # noqa: S608 - own names
    answers.append(f"require_row_counts(ARRAY[{', '.join(counts)}]::bigint[], ${number + 1})")
    return f"WITH {', '.join(tables)} SELECT {', '.join(answers)}"


def arrays(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Rows, one at least, as what a clause takes them by: one array a column, by its name."""
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def unnested(kinds: Mapping[str, str], alias: str) -> str:
    """Such arrays as rows again; `kinds` are the columns' SQL types by name."""
    columns = ", ".join(f"{{{name}}}::{kind}[]" for name, kind in kinds.items())
    return f"unnest({columns}) AS {alias} ({', '.join(kinds)})"
