"""Every state, reached by facts, meets every message: each pair has an answer."""

from collections.abc import Iterable
from typing import Any

from chassis.service import Service
from shared_events.decision import Decision, Refusal
from tests.domain.builders import IN_TIME, TOO_LATE
from tests.domain.support import folded


def assert_every_pair_is_answered(
    service: Service, histories: Iterable[tuple[Any, ...]], messages: Iterable[Any], kinds: set[Any]
) -> None:
    """`kinds` are the state types that the histories must reach; accepted facts must fold."""
    states, inputs = [folded(service, history) for history in histories], list(messages)
    assert {type(service.parted(state)[0]) for state in states} == kinds
    for state in states:
        for message in inputs:
            for at in (IN_TIME, TOO_LATE):
                answer = service.decide(state, message, at)
                assert isinstance(answer, Decision | Refusal)
                fold(service, state, answer)


def fold(service: Service, state: Any, answer: Decision | Refusal) -> None:
    for event in answer.events if isinstance(answer, Decision) else ():
        state = service.evolve(state, event)
