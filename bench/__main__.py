"""The product and other tools on the same servers: tables, pictures and all figures in a folder.

`python -m bench --out docs/performance`; scenarios as `saga bench` has them, then the peers.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import structlog
from pydantic_core import to_json

from bench.command import document, run, timed_printer
from bench.compare import PEERS, compare
from bench.options import options_of
from bench.plots import draw
from bench.registry import OWN, SCENARIOS, USUAL, ScenarioResult
from bench.session import Bench
from saga_cli.one_line import UNAVAILABLE
from saga_cli.stack.binaries import MissingProgramError
from saga_cli.terminal import console, message_of

OUT = Path("docs/performance")
COMPARE = "compare"


def measured(
    session: Bench, names: list[str], peers: list[str]
) -> Iterator[tuple[str, ScenarioResult]]:
    """What shares servers, the comparison on the same ones, then what needs its own."""
    yield from run([name for name in names if name not in OWN], session)
    if COMPARE in names:
        found = compare(session, peers)
        console.print(found.table().drawn())
        yield COMPARE, found
        session.close()
    yield from run([name for name in names if name in OWN], session)


def write(session: Bench, results: Mapping[str, ScenarioResult], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_bytes(to_json(document(session, results), indent=1))
    pages = [result.table().markdown() for result in results.values()]
    (out / "tables.md").write_text("\n".join(("# Measured", "", *pages)), "utf-8")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = ", ".join((*SCENARIOS, COMPARE))
    parser.add_argument("scenarios", nargs="*", help=f"of {names}; the usual ones and compare")
    parser.add_argument("--peers", default=",".join(PEERS), help="by commas")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of what is written")
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    parser.add_argument("--sizes", type=sizes, help="orders of growth, by commas")
    for name, kind in (("rate", float), ("seconds", float), ("orders", int), ("backlog", int)):
        parser.add_argument(f"--{name}", type=kind, help="as of `saga bench`")
    found = parser.parse_args()
    if unknown := set(found.scenarios) - {*SCENARIOS, COMPARE}:
        parser.error(f"there is no scenario {unknown.pop()!r}; there are {names}")
    if unknown := set(found.peers.split(",")) - set(PEERS):
        parser.error(f"there is no peer {unknown.pop()!r}; there are {', '.join(PEERS)}")
    figures = (found.rate, found.seconds, found.orders, found.backlog)
    if any(figure is not None and figure < 1 for figure in figures):
        parser.error("a figure is at least 1")
    return found


def sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(","))


def main() -> int:
    found = options()
    figures = ("rate", "seconds", "orders", "backlog", "sizes")
    given = {name: getattr(found, name) for name in figures}
    session = Bench(options_of(given, quick=found.quick), timed_printer())
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        names = found.scenarios or [*USUAL, COMPARE]
        results: dict[str, ScenarioResult] = {}
        for name, result in measured(session, names, found.peers.split(",")):
            results[name] = result  # written at once: hours may follow in which something fails
            write(session, results, found.out)
            draw({name: result}, found.out)
    except (MissingProgramError, RuntimeError, httpx.HTTPError, *UNAVAILABLE) as error:
        sys.stderr.write(f"bench: {message_of(error)}\n")
        return 1
    finally:
        session.close()
    session.print_line(f"tables, figures and pictures: {found.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
