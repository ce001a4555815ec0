"""saga bench: scenarios one after the other, told as they go, and their tables."""

import logging
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import structlog
from pydantic_core import to_json

from bench.registry import SCENARIOS, USUAL, ScenarioResult
from bench.session import Bench
from saga_cli.one_line import UNAVAILABLE
from saga_cli.stack.binaries import MissingProgramError
from saga_cli.terminal import console, fail, message_of


def bench(names: Sequence[str], session: Bench, json: Path | None) -> None:
    """Run the scenarios; what fails ends the command with one line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        results = dict(run(names or USUAL, session))
    except MissingProgramError as error:
        fail(str(error))
    except RuntimeError as error:
        fail(str(error), code=1)
    except (httpx.HTTPError, *UNAVAILABLE) as error:
        fail(message_of(error), code=1)
    except KeyboardInterrupt:
        fail("stopped", code=130)
    finally:
        session.close()
    if json:
        json.write_bytes(to_json(document(session, results), indent=1))


def run(names: Sequence[str], session: Bench) -> Iterator[tuple[str, ScenarioResult]]:
    """In the order of the registry: those that share a system come first."""
    wanted = [name for name in SCENARIOS if name in names]
    if not wanted:
        return
    minutes = sum(SCENARIOS[name].minutes for name in wanted)
    if not session.machine.is_quiet:
        busy = f"{session.machine.busy_percent:.0f} % of the CPU is used by others"
        session.print_line(f"{busy}: no figure will be what it could be")
    session.print_line(f"{', '.join(wanted)}: with the usual options some {minutes:g} minutes")
    for name in wanted:
        result = SCENARIOS[name].run(session)
        console.print(result.table().drawn())
        yield name, result


def document(session: Bench, results: Mapping[str, ScenarioResult]) -> dict[str, Any]:
    """Everything that was found, with the machine and the options it was found with."""
    return {
        "machine": asdict(session.machine),
        "options": asdict(session.options),
        "results": dict(results),
    }


def timed_printer() -> Any:
    """Lines with the seconds since now."""
    started = time.monotonic()

    def print_line(text: str) -> None:
        console.print(f"{time.monotonic() - started:7.1f} s  {text}")

    return print_line
