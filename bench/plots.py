"""Pictures of what was found, each a PNG of its own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from bench.command import ScenarioResult
from bench.compare import PeerComparison
from bench.report import percentiles
from bench.rig import Measured
from bench.scenarios.scaled import Curve, Growth
from bench.scenarios.steady import Cost, InFlight, Latencies
from bench.scenarios.troubled import Overload, Recovery
from guarantees.services import BY_NAME

NINES: Final = (0, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99)
DPI: Final = 120
PROCESSES: Final = (*BY_NAME, "kafka", "postgres", "redis")


def latencies(found: Latencies, axes: Axes) -> None:
    """As HdrHistogram draws it: each further nine has the same room."""
    for load, measured in found.loads.items():
        values = percentiles(measured.report.end_to_end, NINES)
        axes.plot([1 / (1 - p / 100) for p in NINES], values, marker=".", label=f"{load} load")
    axes.set(xscale="log", xlabel="percentile", ylabel="ms until settled", ylim=(0, None))
    axes.set_xticks([1 / (1 - p / 100) for p in NINES], [f"{p:g}" for p in NINES])
    axes.minorticks_off()


def side_by_side(found: PeerComparison, axes: Axes) -> None:
    for system in dict.fromkeys(side.system for side in found.sides):
        own = [side for side in found.sides if side.system == system]
        axes.plot(
            [s.in_flight for s in own], [s.settled_per_s for s in own], marker="o", label=system
        )
    axes.set(xscale="log", xlabel="orders in flight", ylabel="settled a second", ylim=(0, None))
    depths = sorted({side.in_flight for side in found.sides})
    axes.set_xticks(depths, [str(depth) for depth in depths])
    axes.minorticks_off()


def _stacked(found: Mapping[str, Measured], axes: Axes, label: str = "") -> None:
    names, floor = list(found), [0.0] * len(found)
    for process in PROCESSES:
        spent = [measured.cpu_us.get(process, 0.0) for measured in found.values()]
        axes.bar(names, spent, bottom=floor, label=process)
        floor = [low + more for low, more in zip(floor, spent, strict=True)]
    axes.set(xlabel=label, ylabel="CPU us an order")


def curve(found: Curve, axes: Axes) -> None:
    for instances in sorted({point.instances for point in found.points}):
        own = [point for point in found.points if point.instances == instances]
        rates = [point.measured.report.settled_per_s for point in own]
        label = f"{instances} a service"
        axes.plot([point.partitions for point in own], rates, marker="o", label=label)
    axes.set(xlabel="partitions", ylabel="settled a second", ylim=(0, None))


def overload(found: Overload, axes: Axes) -> None:
    axes.axvspan(
        found.begun_s, found.ended_s, alpha=0.1, label=f"{found.rate:.0f} offered a second"
    )
    ticks = found.measured.report.ticks  # by the second, as a quarter of one is too restless
    seconds = range(int(ticks[-1].at_s) + 1)
    for name in ("accepted", "refused", "settled"):
        sums = [sum(getattr(tick, name) for tick in ticks if int(tick.at_s) == s) for s in seconds]
        axes.plot(seconds, sums, label=name)
    axes.set(xlabel="s", ylabel="orders a second")


def recovery(found: Recovery, axes: Axes) -> None:
    for name, killed in found.by_service.items():
        ticks = killed.measured.report.ticks
        at = [tick.at_s - killed.killed_s for tick in ticks]
        axes.plot(at, [tick.backlog for tick in ticks], label=name)
    axes.set(xlabel="seconds after the kill", ylabel="orders not settled")


DRAWN: Final[Mapping[type, Callable[[Any, Axes], None]]] = {
    Latencies: latencies,
    PeerComparison: side_by_side,
    Cost: lambda found, axes: _stacked({"burst": found.measured}, axes),
    InFlight: lambda found, axes: _stacked(found.loads, axes, "orders in flight"),
    Curve: curve,
    Growth: lambda found, axes: _stacked(
        {f"{grown.orders:,}": grown.measured for grown in found.sizes},
        axes,
        "orders settled before",
    ),
    Overload: overload,
    Recovery: recovery,
}


def draw(name: str, result: ScenarioResult, folder: Path) -> None:
    """Does nothing for a result that has no picture."""
    if type(result) not in DRAWN:
        return
    mpl.use("agg")
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    DRAWN[type(result)](result, axes)
    axes.set_title(result.table().title)
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside right upper")
    figure.savefig(folder / f"{name}.png", dpi=DPI)
    plt.close(figure)
