"""Servers and services that tests share. Each level starts only what it asks for."""

import gc
import ssl
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import hypothesis  # noqa: F401 - early: its plugin loads it at the end, when a parse may meet the collector
import pytest
import structlog
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from xdist.scheduler import LoadFileScheduling

from saga_cli.stack.processes import ChildProcess
from saga_cli.stack.services import Services
from saga_cli.topology import Addresses
from tests.support.callers import show_tokens
from tests.support.forking import forking
from tests.support.servers import SharedStack, shared_servers
from tests.support.waiting import patient

ROOT: Final = Path(__file__).parents[1]
SHARED: Final = SharedStack()
WITH_SERVERS: Final = ("tests/integration/", "tests/chaos/")
STACK: Final = "tests/integration/ on the shared stack"
TREES: Final = "tests that look at every source"
STACK_S: Final = 200.0
TREES_S: Final = 30.0
SHORT_S: Final = {True: 8.0, False: 0.5}
"""What a unit with servers takes, and one without, that says nothing else."""
CASE_BY_CASE: Final = ("tests/choreography/", "tests/simulation/")
"""Their longest tests are parametrized, so that all workers of `pytest -n` share them."""


gc.disable()
"""Until all is collected: nearly all that is made stays, and looking at it took a fifth of the time."""


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    seconds = {STACK: STACK_S, TREES: TREES_S}
    for item in items:
        unit, mark = unit_of(item.nodeid), item.get_closest_marker("long")
        known = seconds.get(unit, SHORT_S[unit.startswith(WITH_SERVERS)])
        seconds[unit] = max(known, *mark.args) if mark else known
    items.sort(
        key=lambda item: (
            -seconds[unit_of(item.nodeid)],
            unit_of(item.nodeid),
            item.get_closest_marker("many_orders") is not None,
        )
    )


def unit_of(nodeid: str) -> str:
    """What one worker runs without anything else between: the files on the shared stack, a file, a case.

    Tests of a file share servers; where there are none, each case is a unit. Files that look at every
    source are a unit, so that each is parsed once.
    """
    file, _, name = nodeid.partition("::")
    if file.startswith(CASE_BY_CASE):
        return f"{file}[{name.partition('[')[2]}"
    return _shared_by(file) or file


@cache
def _shared_by(file: str) -> str:
    """The unit of all files that use the same, which takes long to make; "" if this one uses none."""
    text = (ROOT / file).read_text("utf-8")
    if "stack: Services" in text:
        return STACK
    return TREES if "TREES" in text and not file.startswith(WITH_SERVERS) else ""


class ByUnit(LoadFileScheduling):  # type: ignore[misc]  # xdist carries no types
    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        """As long as there is of both, the last worker computes, and the others wait for servers.

        Servers take a fifth of a core while nothing happens: with three sets of them, or four workers on
        two cores, all takes longer.
        """
        has_servers = node is not self.nodes[-1]
        for unit in self.workqueue:
            if unit.startswith(WITH_SERVERS) is has_servers:
                self.workqueue.move_to_end(unit, last=False)
                break
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)  # `saga mutants --real` runs tests without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByUnit | None:
    return ByUnit(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """A worker sends reports in UTF-8: one that quotes a lone surrogate ended the run, passed or not."""
    return sendable((yield))


def sendable(data: Any) -> Any:
    """The same, with each lone surrogate as its escape (`\\ud800`)."""
    match data:
        case str():
            return data.encode("utf-8", "backslashreplace").decode("utf-8")
        case dict():
            return {key: sendable(value) for key, value in data.items()}
        case list() | tuple():
            return type(data)(sendable(each) for each in data)
        case _:
            return data


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Idle, the shared stack takes a quarter of a core: it ends with the last test that uses it."""
    if nextitem is None or unit_of(nextitem.nodeid) != STACK:
        SHARED.end()


def pytest_sessionfinish() -> None:
    SHARED.end()


sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
"""jsonschema would make forty parsers of it in each process, for a format that no test asks about."""

structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)
LOGS: Final = structlog.get_config()
"""Tracebacks are plain: a framed one with all local variables took a tenth of a second of the CPU."""


@pytest.fixture(autouse=True)
def _logs_as_configured() -> Iterator[None]:
    """A simulation or a command silences the log, also in a fixture of its file; tests look at it."""
    structlog.configure(**LOGS)
    yield
    structlog.configure(**LOGS)


@pytest.fixture(scope="module", autouse=True)
def _what_is_there_stays() -> None:
    """Modules, and what earlier files have left: no collection goes through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _answers_may_take_long() -> Iterator[None]:
    """Where a request names no timeout, httpx gives up after five seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for phase in ("connect", "read", "write", "pool"):
            patch.setattr(DEFAULT_TIMEOUT_CONFIG, phase, patient(5))
        yield


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """`httpx.get` makes a client a call, which would read a bundle of certificates for 27 ms each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def _callers_show_tokens() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        show_tokens(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def _services_are_forked() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChildProcess, "spawn", forking())
        yield


@pytest.fixture(scope="session")
def addresses() -> Iterator[Addresses]:
    """Servers without services."""
    with shared_servers() as found:
        yield found


@pytest.fixture(scope="module")
def stack() -> Services:
    """Servers with all services, two instances each, and a small shop; nobody breaks them."""
    return SHARED.running
