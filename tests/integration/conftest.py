"""Whatever a service answers in a test of this folder is as its OpenAPI document says."""

from collections.abc import Iterator

import pytest

from tests.support.described import Watch


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    watch = Watch()
    with pytest.MonkeyPatch.context() as patch:
        watch.install(patch)
        yield watch


@pytest.fixture(autouse=True)
def _as_described(watch: Watch) -> Iterator[None]:
    yield
    wrong, watch.wrong[:] = list(watch.wrong), []
    assert wrong == []
