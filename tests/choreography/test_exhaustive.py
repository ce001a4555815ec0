"""Every interleaving of one order, and of two of one SKU, keeps every guarantee, in any topics."""

from typing import Final

import pytest

from tests.choreography.exhaustive import STORIES, result

MANY: Final = {"all ok", "suspended", "carrier refuses", "undeliverable"}
"""Of one order, those with the most interleavings."""
long: Final = pytest.mark.long
EVERY_STORY: Final = pytest.mark.parametrize(
    "story",
    [
        pytest.param(
            name, marks=long(12) if len(story.chances) > 1 else long(4) if name in MANY else ()
        )
        for name, story in STORIES.items()
    ],
)


def broken(story: str, guarantee: str) -> set[str]:
    return {what for what in result(story).broken if what.startswith(guarantee)}


@EVERY_STORY
def test_every_way_comes_to_an_end_and_every_order_is_settled(story: str) -> None:
    assert broken(story, "G1") == set()
    assert set(result(story).ends) == STORIES[story].ends


@EVERY_STORY
def test_at_every_end_the_services_agree(story: str) -> None:
    assert broken(story, "G2") == set()


@EVERY_STORY
def test_no_service_gives_back_before_the_ones_after_it(story: str) -> None:
    assert broken(story, "G3") == set()


@EVERY_STORY
def test_nothing_happens_twice_even_without_an_inbox(story: str) -> None:
    assert broken(story, "G4") == set()


@EVERY_STORY
def test_stock_is_what_the_orders_hold_and_never_below_zero(story: str) -> None:
    assert broken(story, "G6") == set()


@EVERY_STORY
def test_a_last_state_never_changes(story: str) -> None:
    assert broken(story, "I8") == set()


@EVERY_STORY
def test_how_an_order_ends_follows_from_what_was_told_not_from_its_order(story: str) -> None:
    assert broken(story, "R14") == set()
