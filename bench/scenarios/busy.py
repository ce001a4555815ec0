"""Whether a member of a group is taken for dead because it is busy, in a burst that takes all cores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.rig import BenchRig, Measured
from bench.scenarios.failing import system
from bench.scenarios.steady import DEEP
from bench.session import Bench
from bench.tables import Table

ASSIGNED: Final = '"partitions_assigned"'


@dataclass(frozen=True, slots=True)
class BusyMembers:
    """`rebalances` of each service's processes together; nobody came or went, so each is a false alarm."""

    session_s: float
    rebalances: Mapping[str, int]
    measured: Measured

    @property
    def row(self) -> tuple[Any, ...]:
        report = self.measured.report
        alarms = sum(self.rebalances.values())
        return self.session_s, report.accepted, report.settled_per_s, alarms, report.unsettled


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    bursts: Sequence[BusyMembers]

    def table(self) -> Table:
        columns = ("session s", "orders", "settled/s", "rebalances", "lost")
        return Table("Rebalances in a burst", columns, [burst.row for burst in self.bursts])


def false_alarms(bench: Bench) -> FalseAlarms:
    found = []
    for session_s in bench.options.sessions[::-1]:
        with system(bench, session_s) as rig:
            before = assigned(rig)
            bench.print_line(
                f"false-alarms: {bench.options.orders} orders, session {session_s:g} s"
            )
            measured = rig.load(orders=bench.options.orders, in_flight=DEEP)
            after = assigned(rig)
        rebalances = {name: count - before[name] for name, count in after.items()}
        found.append(BusyMembers(session_s, rebalances, measured))
    return FalseAlarms(found)


def assigned(rig: BenchRig) -> dict[str, int]:
    """How often each service's processes were given partitions, by their logs."""
    found: dict[str, int] = {}
    for instance in rig.services.instances:
        lines = instance.process.log.read_text(errors="replace").count(ASSIGNED)
        found[instance.spec.name] = found.get(instance.spec.name, 0) + lines
    return found
