"""Whether a migration only adds what code that does not know of it can ignore."""

import re
from collections.abc import Iterable
from typing import Final

NEW_TABLE: Final = re.compile(r"CREATE TABLE (\w+) ")
NEW_INDEX: Final = re.compile(r"CREATE (UNIQUE )?INDEX \w+ ON (\w+) ")
NEW_COLUMN: Final = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (.*)", re.DOTALL)
NEW_FUNCTION: Final = re.compile(r"CREATE FUNCTION .*\$\$.*\$\$", re.DOTALL)
STORAGE: Final = re.compile(r"ALTER TABLE \w+ SET \(.*\)", re.DOTALL)


def breaking(sql: Iterable[str]) -> list[str]:
    """Statements that code which does not know of them may stumble over."""
    statements = list(sql)
    created = {found[1] for text in statements if (found := NEW_TABLE.match(text))}
    return [text for text in statements if not _only_adds(text, created)]


def _only_adds(text: str, created: set[str]) -> bool:
    if column := NEW_COLUMN.match(text):
        optional = "NOT NULL" not in column[2] or "DEFAULT" in column[2]
        return optional and not re.search(r"UNIQUE|CHECK|REFERENCES", column[2])
    if index := NEW_INDEX.match(text):
        return not index[1] or index[2] in created
    return bool(NEW_TABLE.match(text) or STORAGE.fullmatch(text) or NEW_FUNCTION.fullmatch(text))
