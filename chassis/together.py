"""Statements that change data, sent as one: a batch costs one round trip, however many tables it writes.

Each is a common table expression with RETURNING. PostgreSQL runs them in their order, but for one
that asks for the rows of another (its `after`); none sees what the others write.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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
    """What each part answered. Raises ConcurrentChangeError where one wrote fewer rows than it must."""
    if not parts:
        return {}
    text = _text(tuple((part.name, part.sql, part.answer) for part in parts))
    row = await connection.fetchrow(text, *(value for part in parts for value in part.values))
    answers = {part.name: row[nth] for nth, part in enumerate(parts)}
    for part in parts:
        if part.rows is not None and answers[part.name] != part.rows:
            raise ConcurrentChangeError(f"{part.rows - answers[part.name]} rows of {part.name}")
    return answers


@lru_cache(maxsize=1000)
def _text(parts: tuple[tuple[str, str, str], ...]) -> str:
    tables, answers, before = [], [], 0
    for name, sql, answer in parts:
        numbers = {int(found) for found in re.findall(r"\$(\d+)", sql)}
        shifted = _shifted(sql, before)
        before += max(numbers)
        tables.append(f"{name} AS ({shifted})")
        answers.append(f"(SELECT {answer} FROM {name})")  # noqa: S608 - own names
    return f"WITH {', '.join(tables)} SELECT {', '.join(answers)}"


def _shifted(sql: str, by: int) -> str:
    return re.sub(r"\$(\d+)", lambda found: f"${int(found[1]) + by}", sql)


def after(*names: str) -> str:
    """A condition that is true once those parts have written their rows."""
    counts = (f"(SELECT count(*) FROM {name}) >= 0" for name in names)  # noqa: S608 - own names
    return " AND ".join(counts) or "true"
