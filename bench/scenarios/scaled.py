"""What becomes of it with more partitions and processes, and with years of orders in the tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.fill import Filler
from bench.rig import FIGURES, Measured
from bench.scenarios.steady import DEEP
from bench.session import Bench
from bench.tables import Table


@dataclass(frozen=True, slots=True)
class Point:
    partitions: int
    instances: int
    measured: Measured


@dataclass(frozen=True, slots=True)
class Curve:
    points: Sequence[Point]

    def table(self) -> Table:
        rows = [(p.partitions, p.instances, *p.measured.figures) for p in self.points]
        columns = ("partitions", "processes a service", *FIGURES)
        return Table("Partitions and processes", columns, rows)


def curve(bench: Bench) -> Curve:
    points = []
    for partitions in bench.options.partitions:
        with bench.fresh(partitions=partitions) as rig:
            for instances in range(1, bench.options.instances + 1):
                if instances > 1:
                    rig.start()
                bench.print_line(f"curve: {partitions} partitions, {instances} processes a service")
                measured = rig.load(orders=bench.options.orders, in_flight=DEEP)
                points.append(Point(partitions, instances, measured))
    return Curve(points)


@dataclass(frozen=True, slots=True)
class Grown:
    """`orders` settled long ago in PostgreSQL, `in_redis` in Redis, and a burst of new ones."""

    orders: int
    in_redis: int
    measured: Measured


@dataclass(frozen=True, slots=True)
class Growth:
    sizes: Sequence[Grown]

    def table(self) -> Table:
        rows = [
            (g.orders, g.in_redis, *g.measured.figures, g.measured.cpu_us["postgres"])
            for g in self.sizes
        ]
        columns = ("orders before", "in Redis", *FIGURES, "of it PostgreSQL")
        return Table("Growth", columns, rows)


def growth(bench: Bench) -> Growth:
    found = []
    with bench.fresh() as rig:
        filler = Filler(rig.servers.addresses, bench.print_line)
        for size in sorted(bench.options.sizes):
            filler.grow(size)
            bench.print_line(f"growth: a burst on top of {filler.orders} orders")
            measured = rig.load(orders=bench.options.orders, in_flight=DEEP)
            found.append(Grown(filler.orders, filler.in_redis, measured))
    return Growth(found)
