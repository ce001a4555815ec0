"""Other vocabularies than the real one, for tests of how events change."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from shared_events import catalog
from shared_events.catalog import ENTRIES, Entry, by_type, entries_of
from shared_events.upcasting import UPCASTERS


def known(
    monkeypatch: pytest.MonkeyPatch,
    entries: Iterable[Entry],
    by_event: Mapping[type[Any], Entry] | None = None,
) -> None:
    """Let these be all events that there are, wherever the tables have been imported."""
    found = tuple(entries)
    tables = {
        "ENTRIES": found,
        "BY_TYPE": by_type(found),
        "BY_EVENT": by_event or {entry.event: entry for entry in found},
        "NAMES": frozenset(entry.name for entry in found),
    }
    real = {name: getattr(catalog, name) for name in tables}
    for module in list(sys.modules.values()):
        for name, table in tables.items():
            if vars(module).get(name) is real[name]:
                monkeypatch.setattr(module, name, table)


def next_versions() -> tuple[Entry, ...]:
    """Each real event in one version more, which says the same."""
    rows = ((f"{e.name}.v{len(e.wire_types) + 1}", e.event, e.owner) for e in ENTRIES)
    return entries_of(rows, {**UPCASTERS, **{e.wire_type: dict[str, Any] for e in ENTRIES}})
