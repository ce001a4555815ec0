"""Golden logs: what the services of a release have published, and what they had stored at the end.

`python -m tests.contract.golden_log NAME` records one with the simulator, from fixed plans, and never
replaces another: a log that was once written is read for ever. Each line of the file is a record of a
service's topic, with the state that its order was in then, or a row of the service's store at the end
(`xzcat` shows them).
"""

import lzma
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from packaging.version import Version
from pydantic_core import from_json, to_json

from chassis.decide import adapter_of
from chassis.events import Envelope
from chassis.message import VersionedState
from chassis.replay import Folded, fold
from chassis.service import Service
from loyalty_svc.domain import Customer
from loyalty_svc.messages import SetStanding
from loyalty_svc.store import LAYOUT
from saga_cli.topology import SERVICES as SPECS
from shared_events.catalog import CATALOG
from shared_events.codec import decode
from simulation import machine
from simulation.plan import Plan
from simulation.shop import Shop
from simulation.system import SimulatedSystem, simulated
from simulation.verdict import loyalty_orders, records

FOLDER: Final = Path(__file__).parent / "logs"
FAULTS: Final = {
    "delay": 0.5,
    "duplicate": 0.3,
    "reorder": 0.8,
    "service-stopped": 0.4,
    "unknown-outcome": 0.3,
}
"""What makes a cancellation meet its order at each stage, and a record come twice."""
PLANS: Final = tuple(Plan(seed, 130, FAULTS, arrive_s=4.0) for seed in (1, 2, 3))
SERVICES: Final[Mapping[str, Service]] = {
    spec.name: import_module(f"{spec.module}.service").SERVICE for spec in SPECS
}
State = tuple[str, dict[str, Any]]
"""Its name and its fields as JSON."""
LogRows = dict[tuple[str, str], State]
"""By kind and key: "own" is an order's state, "shared" a row that orders share, "after" an event."""


@dataclass(frozen=True, slots=True)
class GoldenRun:
    """One recorded run: each service's events, and what the service had made of them."""

    published: dict[str, list[Envelope]]
    stored: dict[str, LogRows]


class Customers(Shop):
    """With one who may collect points again."""

    async def open(self) -> None:
        await Shop.open(self)
        for suspended in (True, False):
            standing = SetStanding(customer_id="c-back", suspended=suspended)
            await self.asked("loyalty", "c-back", standing)


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.jsonl.xz"


def names() -> list[str]:
    """By release, the first one first."""
    found = (path.name.removesuffix(".jsonl.xz") for path in FOLDER.glob("*.jsonl.xz"))
    return sorted(found, key=Version)


def write(name: str, plans: Iterable[Plan] = PLANS) -> Path:
    """Record a golden log. Raises FileExistsError for one that is there."""
    path = path_of(name)
    path.touch(exist_ok=False)
    lines = (
        to_json(line) + b"\n" for run, plan in enumerate(plans) for line in _recorded(run, plan)
    )
    path.write_bytes(lzma.compress(b"".join(lines), preset=lzma.PRESET_EXTREME))
    return path


def _recorded(run: int, plan: Plan) -> Iterator[dict[str, Any]]:
    with simulated(plan) as system:
        system.shop = Customers(system)
        machine.silence(system.bugs)
        system.run()
        for name, service in SERVICES.items():
            found = sorted(_published(system, name), key=lambda r: dict(r.headers)["ce_sequence"])
            envelopes = [decode(record.value, record.headers) for record in found]
            after, _ = replayed(service, envelopes)
            for record, (state, detail) in zip(found, after.values(), strict=True):
                fields = {**_fields(record), "state": state, "detail": detail}
                yield {"run": run, "topic": record.topic, **fields}
        for name in SERVICES:
            for (kind, key), (state, detail) in as_rows(_live(system, name)).items():
                yield {"run": run, "service": name, kind: key, "state": state, "detail": detail}


def _published(system: SimulatedSystem, service: str) -> Iterator[Any]:
    for topic in CATALOG.log_of(service):
        yield from records(system, topic)


def _fields(record: Any) -> dict[str, Any]:
    return {
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key.decode(),
        "headers": {name: value.decode() for name, value in record.headers},
        "value": record.value.decode(),
    }


def _live(system: SimulatedSystem, service: str) -> Folded:
    """What a service has in its store, in the form of a fold."""
    if service != "loyalty":
        database = system.databases[service]
        own = {key: VersionedState(row.state, row.version) for key, row in database.own.items()}
        return Folded(own, dict(database.shared))
    prefix = LAYOUT.shared_key("")
    customers = {
        key.decode().removeprefix(prefix): Customer(
            points=int(row.get(b"points", 0)),
            suspended=row.get(b"suspended") == b"1",
            changes=int(row.get(b"changes", 0)),
        )
        for key, row in system.redis.data.values.items()
        if key.decode().startswith(prefix)
    }
    return Folded(dict(loyalty_orders(system)), customers)


def as_rows(folded: Folded) -> LogRows:
    own = {("own", key): _state(row) for key, row in folded.own.items()}
    return own | {("shared", key): _state(row) for key, row in folded.shared.items()}


def _state(row: Any) -> State:
    """`version`, of what has one, is a part of it; a row that is not there is no state."""
    if row is None:
        return "", {}
    state, version = (row.state, {"version": row.version}) if hasattr(row, "state") else (row, {})
    return type(state).__name__, version | from_json(adapter_of(type(state)).dump_json(state))


def replayed(service: Service, published: Iterable[Envelope]) -> tuple[LogRows, LogRows]:
    """The state after each event, and the rows at the end."""
    folded, after = Folded(), LogRows()
    for number, envelope in enumerate(published):
        fold(service, [envelope], folded)
        row = folded.own.get(envelope.subject, folded.shared.get(envelope.subject))
        after["after", str(number)] = _state(row)
    return after, as_rows(folded)


@cache
def runs_of(name: str) -> tuple[GoldenRun, ...]:
    """What is read once a process, and which nobody changes."""
    return tuple(read(name))


def read(name: str) -> list[GoldenRun]:
    runs: list[GoldenRun] = []
    for text in lzma.decompress(path_of(name).read_bytes()).splitlines():
        line = from_json(text)
        if line["run"] == len(runs):
            runs.append(GoldenRun({name: [] for name in SERVICES}, {name: {} for name in SERVICES}))
        _add(line, runs[-1])
    return runs


def _add(line: dict[str, Any], run: GoldenRun) -> None:
    state: State = (line["state"], line["detail"])
    if "topic" not in line:
        kind = "own" if "own" in line else "shared"
        run.stored[line["service"]][kind, line[kind]] = state
        return
    service = line["topic"].partition(".")[0]
    published = run.published[service]
    run.stored[service]["after", str(len(published))] = state
    headers = [(name, value.encode()) for name, value in line["headers"].items()]
    published.append(decode(line["value"].encode(), headers))


def main(words: list[str]) -> int:
    if len(words) != 1 or words[0].startswith("-"):
        sys.stderr.write("usage: python -m tests.contract.golden_log NAME\n")
        return 2
    try:
        path = write(words[0])
    except FileExistsError:
        sys.stderr.write(f"{words[0]} is there already: a golden log is only ever added\n")
        return 2
    sys.stdout.write(f"added {path.name}, {path.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
