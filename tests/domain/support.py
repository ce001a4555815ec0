"""given(service, *events).when(message).then(*events): a rule of a decider, in one line."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chassis.decision import Decision, Refusal, RefusalKind
from chassis.service import Service
from tests.domain.builders import IN_TIME


def folded(service: Service, events: Iterable[Any]) -> Any:
    state = service.with_shared(service.initial, {})
    for event in events:
        state = service.evolve(state, event)
    return state


@dataclass(frozen=True, slots=True)
class DomainAnswer:
    """What was decided. A consumed message was decided twice by then: the second adds no fact."""

    decision: Decision | Refusal

    def then(
        self, *events: Any, effects: tuple[Any, ...] = (), dropped: tuple[type[Any], ...] = ()
    ) -> None:
        assert self.decision == Decision(events=events, effects=effects, dropped=dropped)

    def then_nothing(self) -> None:
        assert isinstance(self.decision, Decision)
        assert self.decision == Decision(quiet=self.decision.quiet or "no reason was given")

    def then_impossible(self) -> None:
        assert isinstance(self.decision, Decision)
        assert self.decision == Decision(
            impossible=self.decision.impossible or "no reason was given"
        )

    def then_refused(self, code: str, kind: RefusalKind = "conflict") -> None:
        assert isinstance(self.decision, Refusal)
        assert (self.decision.code, self.decision.kind) == (code, kind)


@dataclass(frozen=True, slots=True)
class Given:
    service: Service
    events: tuple[Any, ...]

    def when(self, message: Any, at: datetime = IN_TIME) -> DomainAnswer:
        first = self.service.decide(folded(self.service, self.events), message, at)
        if isinstance(first, Decision) and type(message) in self.service.consumes:
            after = folded(self.service, (*self.events, *first.events))
            again = self.service.decide(after, message, at)
            assert isinstance(again, Decision)
            assert (again.events, again.effects) == ((), ()), "a repeat decides nothing"
        return DomainAnswer(first)


def given(service: Service, *events: Any) -> Given:
    return Given(service, events)
