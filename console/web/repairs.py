"""Repairs of many: a set that is frozen when it is confirmed, worked through on the server, in batches.

A job acts through the services' operators' routes with the token of who began it: each service records each
message under that person's name. Its begin, its end and how it was steered are entries of the console's
audit trail, and without the first it does not begin. It can be paused and stopped; what it has done stands.
Repairs are those of this process: a console that ends stops them, and what is not done is still there to be
repaired.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import structlog

from chassis import clock, ids
from chassis.errors import TransientError
from console.web.asking import NoAnswerError, ServiceDirectory
from console.web.failures import Failure, RepairKind

log = structlog.get_logger()
RepairResult = Literal["acted", "refused", "ignored"]
RepairVerb = Literal["pause", "resume", "stop"]
TrailWriter = Callable[[str, str, str, str], Awaitable[None]]
"""Adds to the console's audit trail: who, what, to what, and why. Raises TransientError."""
BATCH: Final = 10
"""Of one second, at most so many at once."""
RATE: Final = 50
"""Failures a second, where nothing else is asked for."""
RATE_MAX: Final = 500
KEPT: Final = 50
TRIED: Final = 20
"""Of a set, so many are tried without an effect before it is confirmed."""
REASONS_MAX: Final = 20
DONE: Final = frozenset({"done", "stopped"})
GONE: Final = frozenset({404, 409})
"""What a service answers where there is nothing left to do."""
REFUSED: Final = "not_resolved"
"""The code of a service whose rules refuse an outcome."""


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What will be done, once it is confirmed: its failures are these, whatever fails meanwhile."""

    id: str
    action: RepairKind
    note: str
    by: str
    failures: tuple[Failure, ...]
    made_at: datetime

    @property
    def outcomes(self) -> tuple[str, ...]:
        """That may be recorded for each of its calls, whose references differ: none with one for many."""
        first, *others = self.failures
        return tuple(
            outcome
            for outcome in first.resolvable
            if all(outcome in each.resolvable for each in others)
            and not (others and outcome in first.with_reference)
        )

    def refused(self, terms: "RepairTerms") -> str:
        """Why it can't be done so; "" if it can."""
        if self.action != "resolve":
            return f"{self.action} takes no outcome" if terms.outcome else ""
        if terms.outcome not in self.outcomes:
            return f"the outcome is one of: {', '.join(self.outcomes) or 'none'}"
        if terms.outcome in self.failures[0].with_reference and not terms.reference:
            return f"{terms.outcome} takes the provider's reference"
        return ""


@dataclass(frozen=True, slots=True)
class RepairTerms:
    """How it is done: so many failures a second; for `resolve` the outcome that is recorded for each."""

    rate: int = RATE
    outcome: str = ""
    reference: str = ""


@dataclass(slots=True)
class Repair:
    """`counts` are honest: `acted` on, `refused` by the service, `ignored` as nothing was left to do.

    `by` has confirmed it. `unrecorded` says why its end is not in the audit trail.
    """

    plan: RepairPlan
    terms: RepairTerms
    by: str
    state: Literal["running", "paused", "stopped", "done"] = "running"
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    ended_at: datetime | None = None
    unrecorded: str = ""
    is_going: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def finished(self) -> int:
        return self.counts.total()

    @property
    def is_over(self) -> bool:
        return self.state in DONE

    def pause(self) -> None:
        if self.state == "running":
            self.state = "paused"
            self.is_going.clear()

    def resume(self) -> None:
        if self.state == "paused":
            self.state = "running"
            self.is_going.set()

    def stop(self) -> None:
        if not self.is_over:
            self.state = "stopped"
            self.is_going.set()

    def note(self, result: RepairResult, why: str = "") -> None:
        self.counts[result] += 1
        if why and (why in self.reasons or len(self.reasons) < REASONS_MAX):
            self.reasons[f"{result}: {why}"] += 1

    @property
    def beginning(self) -> str:
        """For the audit trail, as it begins."""
        first, count = self.plan.failures[0], len(self.plan.failures)
        return f"{self.what}: {count} of {first.service}, {first.event}"

    @property
    def ending(self) -> str:
        """For the audit trail, as it ends."""
        return f"{self.what}, {self.summary}"

    @property
    def what(self) -> str:
        outcome = f" as {self.terms.outcome}" if self.terms.outcome else ""
        return f"{self.plan.action} {self.plan.id}{outcome}"

    @property
    def summary(self) -> str:
        counts = ", ".join(
            f"{self.counts[name]} {name}" for name in ("acted", "refused", "ignored")
        )
        return f"{self.state}: {counts} of {len(self.plan.failures)}"


@dataclass
class Repairs:
    """Plans that wait to be confirmed, and jobs, the newest first."""

    services: ServiceDirectory
    record: TrailWriter
    plans: OrderedDict[str, RepairPlan] = field(default_factory=OrderedDict)
    begun: OrderedDict[str, Repair] = field(default_factory=OrderedDict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def plan(
        self, action: RepairKind, note: str, by: str, failures: Iterable[Failure]
    ) -> RepairPlan:
        made = RepairPlan(ids.new_id(), action, note, by, tuple(failures), clock.now())
        self.plans[made.id] = made
        _shorten(self.plans)
        return made

    async def tried(self, plan: RepairPlan, token: str) -> Counter[str]:
        """What would become of the first of them; nothing changes."""
        found: Counter[str] = Counter()
        if plan.action == "redrive":
            asked = (self._dry_run(failure, token) for failure in plan.failures[:TRIED])
            found.update(await asyncio.gather(*asked))
        return found

    async def _dry_run(self, failure: Failure, token: str) -> str:
        try:
            done = await self.services.post(
                failure.service, "/ops/dead-letters/redrive", token, key=failure.key, dry_run=True
            )
        except NoAnswerError as error:
            return f"refused: {error}"
        last = done[-1]
        return f"parked again: {last['reason']}" if last["outcome"] == "parked" else "goes on"

    async def start(self, plan_id: str, terms: RepairTerms, by: str, token: str) -> Repair | None:
        """Begin what was confirmed, once; None for a plan that is not there, or was begun before.

        Raises TransientError where that can't be recorded: then it is not begun, and can be confirmed again.
        """
        plan = self.plans.pop(plan_id, None)
        if plan is None:
            return None
        job = Repair(plan, terms, by)
        try:
            await self.record(by, "repair_begun", job.beginning, plan.note)
        except TransientError:
            self.plans[plan.id] = plan
            raise
        self._begin(job, token)
        return job

    def _begin(self, job: Repair, token: str) -> None:
        job.is_going.set()
        self.begun[job.plan.id] = job
        self.begun.move_to_end(job.plan.id, last=False)
        while len(self.begun) > KEPT:
            self.begun.popitem()
        task = asyncio.create_task(self._run(job, token))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def steer(self, job: Repair, verb: RepairVerb, by: str) -> None:
        """At once, and then it is recorded: a stop waits for no database. Raises TransientError."""
        match verb:
            case "pause":
                job.pause()
            case "resume":
                job.resume()
            case "stop":
                job.stop()
        await self.record(by, f"repair_{verb}", job.beginning, job.plan.note)

    async def _run(self, job: Repair, token: str) -> None:
        left = list(job.plan.failures)
        size = min(BATCH, job.terms.rate)
        try:
            while left and not job.is_over:
                batch, left = left[:size], left[size:]
                began = clock.monotonic()
                await asyncio.gather(*(self._act(job, failure, token) for failure in batch))
                await clock.wait(max(0.0, size / job.terms.rate - (clock.monotonic() - began)))
                await job.is_going.wait()
            if not job.is_over:
                job.state = "done"
        finally:
            if not job.is_over:
                job.state = "stopped"
            await self._record_end(job)
            job.ended_at = clock.now()

    async def _record_end(self, job: Repair) -> None:
        try:
            await self.record(job.by, "repair_ended", job.ending, job.plan.note)
        except TransientError as error:
            job.unrecorded = str(error)
            log.warning("repair_end_not_recorded", repair=job.plan.id, error=job.unrecorded)

    async def _act(self, job: Repair, failure: Failure, token: str) -> None:
        try:
            job.note(*await _done(self.services, job, failure, token))
        except NoAnswerError as error:
            is_gone = error.status in GONE and error.code != REFUSED
            job.note("ignored" if is_gone else "refused", str(error))

    async def close(self) -> None:
        """Stop all, and wait until they have."""
        for job in self.begun.values():
            job.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _done(
    services: ServiceDirectory, job: Repair, failure: Failure, token: str
) -> tuple[RepairResult, str]:
    plan, key, service = job.plan, failure.key, failure.service
    match plan.action:
        case "redrive":
            path = "/ops/dead-letters/redrive"
            done = await services.post(service, path, token, key=key, note=plan.note)
            last = done[-1]
            is_parked = last["outcome"] == "parked"
            return ("refused", f"parked again: {last['reason']}") if is_parked else ("acted", "")
        case "discard":
            path, more = "/ops/dead-letters/discard", {"reason": plan.note, "id": failure.head}
            await services.post(service, path, token, key=key, **more)
            return "acted", ""
        case "expedite":
            done = await services.post(service, "/ops/expedite", token, key=key)
            return ("acted", "") if done["effects"] else ("ignored", "no call is outstanding")
        case "resolve":
            more = {"outcome": job.terms.outcome, "reference": job.terms.reference}
            await services.post(service, "/ops/resolve", token, key=key, note=plan.note, **more)
            return "acted", ""


def _shorten(plans: OrderedDict[str, RepairPlan]) -> None:
    while len(plans) > KEPT:
        plans.popitem(last=False)
