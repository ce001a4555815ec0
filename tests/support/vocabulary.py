"""Other vocabularies than the real one, for tests of how events change."""

from typing import Any

import pytest

from chassis.events import Catalog
from shared_events.catalog import CATALOG, listed
from shared_events.upcasting import UPCASTERS


def known(monkeypatch: pytest.MonkeyPatch, other: Catalog) -> None:
    """Let its events be all that there are."""
    for attribute in vars(CATALOG):
        monkeypatch.setattr(CATALOG, attribute, getattr(other, attribute))


def next_versions() -> Catalog:
    """Each real event in one version more, which says the same."""
    rows = ((f"{e.name}.v{len(e.wire_types) + 1}", e.event, e.owner) for e in CATALOG.entries)
    steps = {**UPCASTERS, **{e.wire_type: dict[str, Any] for e in CATALOG.entries}}
    return Catalog(listed(rows), steps, CATALOG.compacted)
