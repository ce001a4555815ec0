"""Pages that are made from the code are as the code is."""

from tests.docs_pages import DOCS, events_page


def test_events_page_is_fresh() -> None:
    written = (DOCS / "events.md").read_text(encoding="utf-8")
    assert written == events_page(), "run python -m tests.docs_pages"
