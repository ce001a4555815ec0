"""Pages that are made from the code are as the code is."""

from tests.asyncapi import asyncapi_page
from tests.cli_page import cli_page
from tests.compose_page import COMPOSE, compose_file
from tests.docs_pages import CELLS, DOCS, cells_file, events_page


def test_events_page_is_fresh() -> None:
    written = (DOCS / "events.md").read_text(encoding="utf-8")
    assert written == events_page(), "run python -m tests.docs_pages"


def test_asyncapi_is_fresh() -> None:
    written = (DOCS / "asyncapi.yaml").read_text(encoding="utf-8")
    assert written == asyncapi_page(), "run python -m tests.docs_pages"


def test_cli_page_is_fresh() -> None:
    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert written == cli_page(), "run python -m tests.docs_pages"


def test_cells_are_fresh() -> None:
    written = CELLS.read_text(encoding="utf-8")
    assert written == cells_file(), "run python -m tests.docs_pages"


def test_compose_has_the_services_of_the_manifests() -> None:
    assert COMPOSE.read_text(encoding="utf-8") == compose_file(), "run python -m tests.docs_pages"
