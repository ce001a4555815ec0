"""A programming error that production code catches and logs is a finding, however it is logged."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest
import structlog

from simulation import machine

BUG: Final = TypeError("no such thing")
LINES: Final[dict[str, Callable[[Any], Any]]] = {
    "its name in the error": lambda log: log.warning("retried", error=repr(BUG)),
    "its name in another field": lambda log: log.error("parked", reason=f"TypeError: {BUG}"),
    "critical": lambda log: log.critical("stopped", error=repr(BUG)),
    "the error that is handled": lambda log: log.exception("failed"),  # noqa: LOG004 - the test handles one
    "the same, as critical": lambda log: log.critical("failed", exc_info=True),  # noqa: LOG014 - as above
    "the error itself": lambda log: log.error("failed", exc_info=BUG),
    "as logging has it": lambda log: log.error("failed", exc_info=(type(BUG), BUG, None)),
}


@pytest.fixture(params=["silent", "collected"])
def bugs(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    found: list[str] = []
    loop = asyncio.new_event_loop()
    collect = partial(machine.collect_errors, loop)
    (machine.silence if request.param == "silent" else collect)(found)
    yield found
    loop.close()
    structlog.reset_defaults()


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_it_is_noted_however_it_is_logged(bugs: list[str], line: Callable[[Any], Any]) -> None:
    try:
        raise BUG
    except TypeError:
        line(structlog.get_logger())
    (noted,) = bugs
    assert "TypeError" in noted


def test_an_outage_and_what_is_no_warning_are_none(bugs: list[str]) -> None:
    log = structlog.get_logger()
    log.warning("kafka_away", error=repr(OSError("no route")))
    log.error("failed", exc_info=OSError("no route"))
    log.info("read", error=repr(BUG))
    assert bugs == []
