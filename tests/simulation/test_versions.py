"""Two releases side by side: of each service, one process publishes every event in a newer version."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from chassis.events import Entry, type_of
from chassis.kafka import PARTITIONS
from saga_cli.log.reader import LANES
from shared_events.catalog import CATALOG
from simulation import machine
from simulation.plan import Plan
from simulation.process import current
from simulation.system import simulated
from tests.support.vocabulary import known, next_versions

FAULTS = {"delay": 0.4, "duplicate": 0.5, "kill": 0.5, "rebalance": 0.5, "redis-set-back": 0.5}


class SideBySide(Mapping[type[Any], Entry]):
    """What is published: by the first process of a service in the old version."""

    def __init__(self, old: Mapping[type[Any], Entry], new: Mapping[type[Any], Entry]) -> None:
        self.old, self.new = old, new

    def __getitem__(self, event: type[Any]) -> Entry:
        process = current.get()
        is_old = process is not None and process.name.endswith("-0")
        return (self.old if is_old else self.new)[event]

    def __iter__(self) -> Iterator[type[Any]]:
        return iter(self.new)

    def __len__(self) -> int:
        return len(self.new)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_releases_side_by_side_keep_every_guarantee(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = next_versions()
    newest = {entry.wire_type for entry in newer.entries}
    newer.by_event = SideBySide(CATALOG.by_event, newer.by_event)
    known(monkeypatch, newer)
    with simulated(Plan(seed, 80, FAULTS)) as system:
        machine.silence(system.bugs)
        system.run()
        logs = (system.broker.log(topic, n) for topic in LANES for n in range(PARTITIONS))
        is_new = Counter(type_of(record.headers) in newest for log in logs for record in log)
    assert is_new[False] > 100
    assert is_new[True] > 100
