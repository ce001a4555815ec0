"""Whatever a service answers in a test of this folder is as its OpenAPI document says."""

from collections.abc import Iterator

import pytest

from tests.support.described import AnswerCheck


@pytest.fixture(scope="module")
def watch() -> Iterator[AnswerCheck]:
    watch = AnswerCheck()
    with pytest.MonkeyPatch.context() as patch:
        watch.install(patch)
        yield watch


@pytest.fixture(autouse=True)
def _as_described(watch: AnswerCheck) -> Iterator[None]:
    yield
    wrong, watch.wrong[:] = list(watch.wrong), []
    assert wrong == []
