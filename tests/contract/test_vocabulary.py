"""The vocabulary of the last release and today's understand each other."""

from typing import Final

import pytest

from saga_cli.schema import sources
from saga_cli.schema.comparing import changes, inlined, unreadable
from shared_events.catalog import CATALOG

STORED: Final = sorted(sources.STORED.glob("*.json"))


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_nothing_breaks_between_a_release_and_this_code(file: object) -> None:
    """Not only the last: a log begins with the first."""
    found = changes(sources.vocabulary(str(file)), sources.here())
    assert [change for change in found if change.breaks] == []


def test_the_first_release_is_among_them() -> None:
    assert "0.1.0" in {file.stem for file in STORED}
    first = sources.vocabulary(str(sources.STORED / "0.1.0.json"))
    assert len(first) == 32
    assert set(first) <= set(CATALOG.by_type)


def test_an_event_reads_itself() -> None:
    for event in sources.here().values():
        schema = inlined(event.schema)
        assert list(unreadable(schema, schema)) == []
