"""Servers and services that tests share. Each level starts only what it asks for."""

import gc
import ssl
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import hypothesis  # noqa: F401 - early: its plugin loads it at the end, when a parse may meet the collector
import pytest
import structlog
from xdist.scheduler import LoadFileScheduling

from saga_cli.stack.processes import ChildProcess
from saga_cli.stack.seed import seed
from saga_cli.stack.services import Services
from saga_cli.topology import Addresses
from tests.support.forking import forking
from tests.support.servers import shared_servers

WITHOUT_SERVERS: Final = ("tests/choreography/", "tests/simulation/")
"""Their longest tests are parametrized, so that all workers of `pytest -n` share them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files begin first, so that no worker is left with one at the end."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


class ByFileOrCase(LoadFileScheduling):  # type: ignore[misc]  # xdist carries no types
    """A file is one worker's, as its tests share servers; where there are none, each case is a unit."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, name = nodeid.partition("::")
        case = name.partition("[")[2]
        return f"{file}[{case}" if file.startswith(WITHOUT_SERVERS) else file


@pytest.hookimpl(optionalhook=True)  # `saga mutants --real` runs tests without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFileOrCase | None:
    return ByFileOrCase(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A simulation silences production's log; the next test may look at it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="module", autouse=True)
def _what_is_there_stays() -> None:
    """Modules, and what earlier files have left: no collection goes through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """`httpx.get` makes a client a call, which would read a bundle of certificates for 27 ms each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def _services_are_forked() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChildProcess, "_spawn", forking())
        yield


@pytest.fixture(scope="session")
def addresses() -> Iterator[Addresses]:
    """Servers without services."""
    with shared_servers() as found:
        yield found


@pytest.fixture(scope="module")
def stack() -> Iterator[Services]:
    """Servers with all five services, two instances each, and a small shop.

    Idle, they take a quarter of a core: they don't outlive the tests of a file.
    """
    with shared_servers() as found, tempfile.TemporaryDirectory() as logs:
        services = Services(found, Path(logs))
        try:
            services.start_all(instances=2)
            seed(services.url)
            yield services
        finally:
            codes = services.stop()
        assert set(codes.values()) == {0}, f"a service did not stop well: {codes}"
