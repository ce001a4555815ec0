"""Other vocabularies than the real one, for tests of how events change."""

import sys
from typing import Any, Final

import pytest

from chassis.events import Catalog
from shared_events import catalog
from shared_events.catalog import CATALOG, ENTRIES, listed
from shared_events.upcasting import UPCASTERS

TABLES: Final = {"ENTRIES": "entries", "BY_TYPE": "by_type", "BY_EVENT": "by_event"}


def known(monkeypatch: pytest.MonkeyPatch, other: Catalog) -> None:
    """Let its events be all that there are, wherever the tables have been imported."""
    for name, attribute in TABLES.items():
        real = getattr(catalog, name)
        for module in list(sys.modules.values()):
            if vars(module).get(name) is real:
                monkeypatch.setattr(module, name, getattr(other, attribute))
    for attribute in vars(CATALOG):
        monkeypatch.setattr(CATALOG, attribute, getattr(other, attribute))


def next_versions() -> Catalog:
    """Each real event in one version more, which says the same."""
    rows = ((f"{e.name}.v{len(e.wire_types) + 1}", e.event, e.owner) for e in ENTRIES)
    steps = {**UPCASTERS, **{e.wire_type: dict[str, Any] for e in ENTRIES}}
    return Catalog(listed(rows), steps, CATALOG.compacted)
