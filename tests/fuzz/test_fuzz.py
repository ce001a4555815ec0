"""Whatever is read ends as it is said to: with a value, a problem or a reason, and with no other error."""

from typing import Final

import pytest
from hypothesis import given

from tests.fuzz.grammars import CORPUS, fuzzed, kept, spoilt
from tests.fuzz.targets import TARGETS

KEPT: Final = [(name, text) for name, texts in CORPUS.items() for text in texts]


@pytest.mark.parametrize(
    ("name", "text"), KEPT, ids=[f"{name} {ascii(text)[1:31]}" for name, text in KEPT]
)
def test_what_was_found_once_is_read(name: str, text: str) -> None:
    TARGETS[name].check(text)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_read(name: str) -> None:
    target = TARGETS[name]

    @fuzzed
    @given(spoilt(target.valid))
    def each(text: str) -> None:
        kept(name, text)
        target.check(text)

    each()


def test_every_target_has_cases_that_are_kept() -> None:
    assert CORPUS.keys() == TARGETS.keys()
