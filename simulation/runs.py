"""Runs of plans: one, many on all cores, and the smallest that still breaks the same guarantee."""

import gc
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from chassis.process.settings import FastPath
from chassis.topic_layout import TopicLayout
from simulation import machine, mutants
from simulation.checks import ViolationError
from simulation.coverage import Cell
from simulation.plan import Plan
from simulation.system import simulated

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class Result:
    """What came of one plan. `guarantee` is "" when nothing was broken."""

    plan: Plan
    digest: str
    guarantee: str = ""
    what: str = ""
    bugs: list[str] = field(default_factory=list)
    """Programming errors, whether the code caught them or they ended the run."""
    hits: Counter[str] = field(default_factory=Counter)
    cells: Counter[Cell] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    switches: Counter[tuple[FastPath, bool]] = field(default_factory=Counter)
    layouts: Counter[TopicLayout] = field(default_factory=Counter)
    events: int = 0
    cuts: int = 0
    """In how many places it might have been cut."""
    virtual_s: float = 0.0
    log: list[str] = field(default_factory=list)


def run(plan: Plan, *, keep_log: bool = False, verbose: bool = False) -> Result:
    """One plan from its beginning to its end, or to the first guarantee that is broken."""
    with mutants.switched_on(plan.mutant), simulated(plan, keep_log=keep_log) as system:
        if verbose:
            machine.collect_errors(system.loop, system.bugs)
        else:
            machine.silence(system.bugs)
        guarantee, what = "", ""
        try:
            system.run()
        except ViolationError as error:
            guarantee, what = error.guarantee, str(error)
        except Exception as error:
            if not plan.mutant:
                raise
            system.bugs.append(repr(error))
        orders = system.databases["order"].own.values()
        return Result(
            plan=plan,
            digest=system.digest.hexdigest(),
            guarantee=guarantee,
            what=what,
            bugs=system.bugs,
            hits=system.faults.hits,
            cells=system.cells,
            states=Counter(type(row.state).__name__ for row in orders),
            switches=system.switches,
            layouts=system.layouts,
            events=len(system.watch.published),
            cuts=system.faults.steps,
            virtual_s=system.loop.now_s,
            log=system.log,
        )


def many(plans: Iterable[Plan], jobs: int) -> Iterator[Result]:
    """Results as they come, from so many processes."""
    yield from spread(run, plans, jobs)


def spread(work: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[R]:
    waiting = iter(items)
    with ProcessPoolExecutor(jobs, initializer=_begin) as pool:
        running: set[Future[R]] = {pool.submit(work, item) for item in islice(waiting, 2 * jobs)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(work, item) for item in islice(waiting, len(done))}
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """In each process of a pool: what is loaded stays, and an interrupt is the parent's business."""
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def cores() -> int:
    return len(os.sched_getaffinity(0))


def shrunk(plan: Plan, guarantee: str, tries: int = 60) -> tuple[Plan, int]:
    """The smallest plan found that breaks the same guarantee, and how many were tried."""
    tried, smaller = 0, True
    while smaller:
        smaller = False
        for candidate in islice(_smaller(plan), tries - tried):
            tried += 1
            if run(candidate).guarantee == guarantee:
                plan, smaller = candidate, True
                break
    return plan, tried


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Fewer orders first: that makes every later try cheaper."""
    for orders in (plan.orders // 4, plan.orders // 2, plan.orders * 3 // 4, plan.orders - 1):
        if 0 < orders < plan.orders:
            yield replace(plan, orders=orders)
    for kind in plan.faults:
        yield plan.without(kind)
    if plan.fast_paths == "mixed":
        yield replace(plan, fast_paths="all")
        yield replace(plan, fast_paths="none")
    if plan.topics == "moves":
        yield replace(plan, topics="lanes")
    if plan.regret:
        yield replace(plan, regret=0.0)
    for kind, intensity in plan.faults.items():
        if intensity > 0.2:  # noqa: PLR2004
            yield replace(plan, faults={**plan.faults, kind: round(intensity / 2, 2)})
