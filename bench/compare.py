"""The same orders through other tools, on the same servers: `bench/peers`, a project of its own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.peers.run import CANT_RUN
from bench.rig import FIGURES, Measured
from bench.scenarios.steady import in_flight
from bench.session import Bench
from bench.tables import Table
from saga_cli.topology import Addresses

OURS: Final = "choreography"
LIMIT_S: Final = 600
DEEPEST: Final = 512
"""The peers take minutes for deeper ones, and gain nothing: they are bound long before."""
LEAST: Final = 400
PROJECT: Final = Path(__file__).parent / "peers"
OWN_ENVIRONMENT: Final = frozenset({"ceiling"})
"""Peers made of the product's own parts."""


@dataclass(frozen=True, slots=True)
class Side:
    """One system at one depth; `wrong` are orders that did not end as they have to."""

    system: str
    in_flight: int
    sagas: int
    settled_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    wrong: int


@dataclass(frozen=True, slots=True)
class PeerComparison:
    """`skipped` says of each peer that is missing why it is."""

    sides: tuple[Side, ...]
    skipped: Mapping[str, str]
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def table(self) -> Table:
        rows: list[tuple[Any, ...]] = [
            (s.system, s.in_flight, s.settled_per_s, s.p50_ms, s.p99_ms, s.cpu_us, s.wrong)
            for s in self.sides
        ]
        rows += [(system, f"skipped: {why}", *[""] * 5) for system, why in self.skipped.items()]
        return Table("Side by side", ("system", "in flight", *FIGURES, "wrong"), rows)


def compare(bench: Bench, peers: Iterable[str]) -> PeerComparison:
    """Ours first; then its processes stop, and each peer has the servers to itself."""
    sides = [ours(int(depth), m) for depth, m in in_flight(bench).loads.items()]
    skipped: dict[str, str] = {}
    settings: dict[str, Mapping[str, str]] = {}
    bench.rig.stop_services()
    for peer in peers:
        for depth in depths_of(bench, peer):
            bench.print_line(f"{peer}, {depth} in flight")
            found = ask(bench, peer, depth)
            if isinstance(found, str):
                skipped[peer] = found
                bench.print_line(f"{peer} is skipped: {found}")
                break
            settings[peer] = found["settings"]
            sides += sides_of(found)
    return PeerComparison(tuple(sides), skipped, settings)


def depths_of(bench: Bench, peer: str) -> list[int]:
    """The ceiling has batches, not orders, in flight."""
    if peer in OWN_ENVIRONMENT:
        return [4]
    return [depth for depth in bench.options.in_flight if depth <= DEEPEST]


def ours(depth: int, measured: Measured) -> Side:
    report = measured.report
    return Side(OURS, depth, report.settled, *measured.figures, report.unsettled)


def ask(bench: Bench, peer: str, depth: int) -> Mapping[str, Any] | str:
    """A peer's figures, or why there are none."""
    sagas = bench.options.orders if peer in OWN_ENVIRONMENT else max(LEAST, 2 * depth)
    words = [*_command_of(peer, bench.rig.servers.addresses), "--in-flight", str(depth)]
    try:
        done = subprocess.run(  # noqa: S603 - no shell: a peer of this bench
            [*words, "--sagas", str(sagas), "--json"],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no figures within {LIMIT_S} s"
    output = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    if done.returncode == CANT_RUN:
        return output[-1]
    if done.returncode:  # what others have shown by then is not to be lost
        return f"it failed: {output[-1]}"
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def sides_of(found: Mapping[str, Any]) -> list[Side]:
    """A peer's figures; those of the ceiling are of batches, and settle nothing."""
    name, depth, none = found["peer"], found["in_flight"], float("nan")
    if "batches" in found:
        return [
            Side(
                f"{name}, batches of {size}",
                depth,
                batch["orders"],
                batch["orders_per_s"],
                none,
                none,
                cpu_us(batch["cpu_s"], batch["orders"]),
                wrong=0,
            )
            for size, batch in found["batches"].items()
        ]
    settled, times = found["confirmed"] + found["cancelled"], (found["p50_ms"], found["p99_ms"])
    cpu = cpu_us(found["cpu_s"], settled)
    return [Side(name, depth, settled, found["settled_per_s"], *times, cpu, found["wrong"])]


def cpu_us(seconds: Mapping[str, float], orders: int) -> float:
    """Of all processes, servers and generator too."""
    return sum(seconds.values()) / max(orders, 1) * 1e6


def _command_of(peer: str, addresses: Addresses) -> list[str]:
    uv = [shutil.which("uv") or ".tools/bin/uv", "run", "--project", str(PROJECT), "--frozen"]
    python = [sys.executable] if peer in OWN_ENVIRONMENT else [*uv, "python"]
    where = ["--database-url", addresses.postgres_url, "--kafka", addresses.kafka.bootstrap]
    return [*python, "-m", "bench.peers.run", peer, *where]
