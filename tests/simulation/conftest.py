"""Each world is collected at its end: what the tests before have left is not looked at every time."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _what_is_there_stays() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
