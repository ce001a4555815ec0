"""Why an order is where it is: who must act next, where the message sits, what helps. No IO."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from guarantees.counts import counted
from guarantees.durations import lasting
from guarantees.protocol import AGAIN, CALLS, HOPS, LEAVING, SETTLED, Hop
from guarantees.whereabouts import CircuitReport, EffectReport, OrderReport

SLOW_S: Final = 5.0
"""What waits longer than this is held up by something; before, it is just on its way."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`service` must act; `where` is outbox, kafka, discarded, parked, effect, timer or service.

    `outside` is who must act instead, where it is none of the services: a provider that they call.
    `commands` help, the first one first, then `advice`, where what helps is no command of `saga`.
    `wait` says what goes on by itself, and when; there is one of these at least.
    """

    service: str
    where: str
    what: str
    commands: tuple[str, ...] = ()
    wait: str = ""
    advice: tuple[str, ...] = ()
    outside: str = ""

    @property
    def who(self) -> str:
        return f"{self.outside}, which {self.service} calls" if self.outside else self.service


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`findings` begin with who must act next; `notes` need nobody."""

    order_id: str
    known: bool
    state: str
    settled: bool
    states: dict[str, str]
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def diagnose(order_id: str, reports: Iterable[OrderReport], now: datetime) -> Diagnosis:
    """Reports are one a service, taken at about the same time."""
    by = {report.service: report for report in reports}
    case = _Case(order_id, by, now)
    states = {name: "?" if report.silent else report.state for name, report in by.items()}
    return Diagnosis(
        order_id,
        known=by["order"].silent != "" or case.has_traces(),
        state=states["order"],
        settled=states["order"] in SETTLED,
        states=states,
        findings=case.findings(),
        notes=tuple(case.notes()),
    )


@dataclass(frozen=True, slots=True)
class _Case:
    order_id: str
    by: dict[str, OrderReport]
    now: datetime

    def findings(self) -> tuple[Finding, ...]:
        """Acting services first, then what else is wrong on the order's way."""
        hops = [hop for hop in HOPS if self._is_on_its_way(hop)]
        if self._is_on_its_way(AGAIN) and self._has("shipping", LEAVING):
            hops.append(AGAIN)
        parked, acting = [r for r in self.by.values() if r.parked], {hop.to for hop in hops}
        first = [self._parked(r) for r in parked if r.service in acting]
        first += [self._moving(hop) for hop in hops if not self.by[hop.to].parked]
        first += self._working()
        found = first + [self._parked(r) for r in parked if r.service not in acting]
        found += [self._owing(r, e) for r in self.by.values() for e in self._unforeseen(r)]
        found += self._overdue()
        silent = [self._silent(r, lost=not first) for r in self.by.values() if r.silent]
        return tuple(found + silent)

    def has_traces(self) -> bool:
        answers = [report for report in self.by.values() if not report.silent]
        return any(report.state != "Absent" or report.parked for report in answers)

    def notes(self) -> Iterator[str]:
        for report in self.by.values():
            for timer in report.timers:
                if self._late_s(timer) <= SLOW_S:
                    yield f"{report.service}'s timer {timer.kind} is due {self._when(timer.due_at)}"

    def _has(self, service: str, states: Iterable[str]) -> bool:
        report = self.by[service]
        return not report.silent and report.state in states

    def _is_on_its_way(self, hop: Hop) -> bool:
        return self._has(hop.by, hop.sent) and self._has(hop.to, hop.undecided)

    def _parked(self, report: OrderReport) -> Finding:
        """The head of a key is what failed; the rest waits for it."""
        head, waiting = report.parked[0], len(report.parked) - 1
        more = f"; {counted(waiting, 'message')} waiting for it" if waiting else ""
        named, tried = head.type or "a message without a type", counted(head.attempts, "time")
        what = f"{report.service} parked {named}, tried {tried}{more}: {head.last_error}"
        place = f"{report.service} {head.key}"
        commands = (f"saga dead-letters show {place}", f"saga dead-letters redrive {place}")
        return Finding(report.service, "parked", what, commands)

    def _working(self) -> Iterator[Finding]:
        for (service, state), kind in CALLS.items():
            report = self.by[service]
            effects = [effect for effect in report.effects if effect.kind == kind]
            if report.parked or not self._has(service, {state}):
                continue
            if effects:
                yield self._owing(report, effects[-1])
            else:
                what = f"{service} is {state}, and the outcome of its {kind} is being decided on"
                yield Finding(service, "effect", what, wait="it takes a moment: ask again")

    def _unforeseen(self, report: OrderReport) -> list[EffectReport]:
        """What is owed in a state that waits for nothing of the kind."""
        working = CALLS.get((report.service, report.state))
        return [effect for effect in report.effects if effect.kind != working]

    def _owing(self, report: OrderReport, effect: EffectReport) -> Finding:
        what = f"{report.service} has {effect.kind} outstanding"
        what += f", attempt {effect.attempt}" if effect.attempt > 1 else ""
        what += f", since {lasting((self.now - effect.owed_since).total_seconds())}"
        what += f"; asked {counted(effect.tries, 'time')}"
        what += f"; last error: {effect.last_error}" if effect.last_error else ""
        broken = [c for c in report.circuits if c.state != "closed"]
        for circuit in broken:
            what += f"; the circuit to {circuit.provider} is {circuit.state}: {circuit.why}"
        ask, log = f"saga expedite {self.order_id}", f"saga logs {report.service}"
        if effect.needs_attention:
            return Finding(report.service, "effect", what, (log, ask, *self._resolving(effect)))
        if self._late_s(effect) > SLOW_S and not broken:
            what += f"; it was due {lasting(self._late_s(effect))} ago and nobody asked"
            return Finding(report.service, "effect", what, (log,))
        if effect.tries and not effect.last_error:
            return Finding(report.service, "effect", what, wait="it is being asked")
        if broken:
            return self._without_provider(report.service, effect, broken[0], what)
        wait = f"next try {self._when(effect.due_at)}; `{ask}` asks now"
        return Finding(report.service, "effect", what, wait=wait)

    def _without_provider(
        self, service: str, effect: EffectReport, circuit: CircuitReport, what: str
    ) -> Finding:
        """The order goes on by itself once the provider answers; nothing here brings that about."""
        when = self._when(max(effect.due_at, circuit.calls_again_at or effect.due_at))
        provider, log = circuit.provider, f"saga logs {service}"
        wait = (
            f"next try {when}: {service} calls {provider} by itself until it answers, and goes on"
        )
        return Finding(service, "effect", what, (log,), wait, outside=provider)

    def _resolving(self, effect: EffectReport) -> Iterator[str]:
        for outcome in effect.may_be_resolved_as:
            more = " --reference REF" if outcome in effect.with_reference else ""
            yield f"saga resolve {self.order_id} --as {outcome}{more} --note TEXT"

    def _moving(self, hop: Hop) -> Finding:
        sender, reader = self.by[hop.by], self.by[hop.to]
        if sender.outbox.rows:
            return self._unpublished(hop, sender)
        what = f"{hop.event} is in Kafka"
        if self._kafka_is_away():
            return Finding(hop.to, "kafka", f"{what}, which does not answer", KAFKA)
        if not reader.consumer.ready or reader.consumer.lag is None:
            commands = (f"saga logs {hop.to}", f"saga restart {hop.to}")
            return Finding(hop.to, "kafka", f"{what}; {hop.to} does not read from it", commands)
        if reader.consumer.lag:
            lag = counted(reader.consumer.lag, "record")
            what = f"{what}; {hop.to} has {lag} still to read"
            return Finding(hop.to, "kafka", what, wait="it is read in turn")
        if discarded := [a for a in reader.actions if a.action == "discard"]:
            action = discarded[-1]
            what = f"{hop.event} is not decided on; {action.by} discarded a message: {action.note}"
            actions = f"saga dead-letters actions {hop.to} {self.order_id}"
            return Finding(hop.to, "discarded", what, (actions,))
        what = f"{hop.event} was published and {hop.to} has read all there is"
        return Finding(hop.to, "kafka", what, wait="it is being decided on: ask again")

    def _unpublished(self, hop: Hop, sender: OrderReport) -> Finding:
        what = f"{hop.event} is in {hop.by}'s outbox for {lasting(sender.outbox.oldest_s)}"
        if sender.outbox.refused:
            what += f"; Kafka refuses it, or one before it, for good: {sender.outbox.refused}"
            return Finding(hop.by, "outbox", what, (f"saga outbox list {hop.by}",))
        what += f"; its relay fails: {sender.relay.failing}" if sender.relay.failing else ""
        if self._kafka_is_away():
            return Finding(hop.by, "outbox", f"{what}; Kafka does not answer", KAFKA)
        if sender.relay.failing or sender.outbox.oldest_s > SLOW_S:
            return Finding(hop.by, "outbox", what, (f"saga logs {hop.by}",))
        return Finding(hop.by, "outbox", what, wait="it is being published")

    def _kafka_is_away(self) -> bool:
        answers = [report for report in self.by.values() if not report.silent]
        return all(report.consumer.lag is None for report in answers)

    def _overdue(self) -> Iterator[Finding]:
        for report in self.by.values():
            for timer in report.timers:
                if (late := self._late_s(timer)) > SLOW_S:
                    what = f"{report.service}'s timer {timer.kind} is overdue by {lasting(late)}"
                    yield Finding(report.service, "timer", what, (f"saga logs {report.service}",))

    def _silent(self, report: OrderReport, *, lost: bool) -> Finding:
        """Where nobody else has to act, the order is with a service that does not answer."""
        what = f"{report.service} {report.silent}"
        may_wait = [hop for hop in HOPS if hop.to == report.service and self._has(hop.by, hop.sent)]
        if may_wait and lost and self.by["order"].state not in SETTLED:
            what += f"; {may_wait[-1].event} of {may_wait[-1].by} waits for it, or it is at work"
        return Finding(report.service, "service", what, (f"saga restart {report.broken}",))

    def _late_s(self, effects: EffectReport) -> float:
        return (self.now - effects.due_at).total_seconds()

    def _when(self, at: datetime) -> str:
        seconds = (at - self.now).total_seconds()
        return f"in {lasting(seconds)}" if seconds >= 1 else "now"


def for_other_stacks(found: Diagnosis) -> Diagnosis:
    """The same for services that are none of a stack here, which `saga restart` would act on."""
    return replace(found, findings=tuple(map(_for_other_stacks, found.findings)))


def _for_other_stacks(finding: Finding) -> Finding:
    of_stack = {c: c.split() for c in finding.commands if c.startswith(OF_STACK)}
    advice = tuple(ADVICE[verb].format(name) for _, verb, name in of_stack.values())
    others = tuple(command for command in finding.commands if command not in of_stack)
    return replace(finding, commands=others, advice=advice)


OF_STACK: Final = ("saga restart ", "saga logs ")
ADVICE: Final = {
    "restart": "restart {} where it runs",
    "logs": "look into the log of {} where it runs",
}
KAFKA: Final = ("saga restart kafka", "saga logs kafka")
