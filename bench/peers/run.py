"""One peer against given servers: `python -m bench.peers.run PEER --database-url URL --kafka HOST:PORT`.

Prints one JSON object. Exit code 3: this peer can't run here; the last line on stderr says why.
"""

import argparse
import asyncio
import json
import secrets
import signal
import statistics
import sys
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from bench.peers.books import check
from bench.peers.databases import RunServers, made, servers_of
from bench.peers.mix import order_of
from bench.peers.running import CantRunError, Crew, PeerPlan

PEERS: Final = ("dbos", "temporal", "naive", "orchestrator", "ceiling")
CANT_RUN: Final = 3


def measured(
    peer: str, place: RunServers, plan: PeerPlan, options: argparse.Namespace
) -> dict[str, Any]:
    """Warm up, run the orders, hold the tables against the mix."""
    numbers = range(options.warm_up, options.warm_up + options.sagas)
    with plan.around() as servers, Crew(plan.roles) as crew:
        crew.load(range(options.warm_up), options.in_flight)
        watched = {**servers, **servers_of(place)}
        took, seconds, cpu = crew.metered(numbers, options.in_flight, watched)
    owner = {service: place.url(db) for db, owned in plan.databases.items() for service in owned}
    books = asyncio.run(check(owner, [order_of(n) for n in range(numbers.stop)], numbers))
    hundredths = statistics.quantiles(took, n=100, method="inclusive")
    return {
        "peer": peer,
        "settings": {name: str(value) for name, value in plan.settings.items()},
        "in_flight": options.in_flight,
        "sagas": len(took),
        "warm_up": options.warm_up,
        "confirmed": books.confirmed,
        "cancelled": books.cancelled,
        "seconds": round(seconds, 3),
        "settled_per_s": round(len(took) / seconds, 1),
        "p50_ms": round(hundredths[49] * 1000, 1),
        "p99_ms": round(hundredths[98] * 1000, 1),
        "wrong": books.wrong,
        "cpu_s": cpu,
    }


def run_peer(peer: str, module: ModuleType, options: argparse.Namespace) -> dict[str, Any]:
    place = RunServers(options.database_url, options.kafka, secrets.token_hex(3))
    if hasattr(module, "measured"):  # no orders to settle
        result: dict[str, Any] = module.measured(place, options)
        return result
    plan: PeerPlan = module.plan(place, options)
    with made(place, plan.tables, plan.topics):
        return measured(peer, place, plan, options)


def arguments(peer: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"bench.peers.run {peer}")
    parser.add_argument("--database-url", required=True, help="of a role that makes databases")
    parser.add_argument("--kafka", required=True, metavar="HOST:PORT")
    parser.add_argument("--in-flight", type=int, default=64, help="sagas at once")
    parser.add_argument("--sagas", type=int, default=2000)
    parser.add_argument("--warm-up", type=int, default=200, help="sagas before the measured ones")
    parser.add_argument("--json", action="store_true", help="the only form there is")
    return parser


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in PEERS:  # noqa: PLR2004 - the program and a peer
        sys.exit(f"{__doc__}\nPEER is one of {', '.join(PEERS)}; PEER --help lists its settings.")
    peer = sys.argv[1]
    try:
        module = import_module(f"bench.peers.{peer}")
        parser = arguments(peer)
        module.add_arguments(parser)
        options = parser.parse_args(sys.argv[2:])
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and clean up
        print(json.dumps(run_peer(peer, module, options)))
    except (ImportError, CantRunError) as error:
        is_missing = isinstance(error, ImportError)
        where = ": see bench/peers/README.md for its environment" if is_missing else ""
        print(f"{peer}: {error}{where}", file=sys.stderr)
        sys.exit(CANT_RUN)


if __name__ == "__main__":
    main()
