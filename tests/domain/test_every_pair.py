"""Every state, reached by facts, meets every message: each pair has an answer."""

from typing import Any, get_args

import pytest

from chassis.decision import Decision, Refusal
from saga_cli.topology import SERVICES
from tests.domain.builders import IN_TIME, TOO_LATE
from tests.domain.samples import Samples, name_of
from tests.domain.samples.all import BY_SERVICE

each_service = pytest.mark.parametrize("samples", BY_SERVICE.values(), ids=BY_SERVICE.keys())


def fold(samples: Samples, state: Any, answer: Decision | Refusal) -> None:
    for event in answer.events if isinstance(answer, Decision) else ():
        state = samples.service.evolve(state, event)


def test_every_service_has_samples() -> None:
    assert set(BY_SERVICE) == {spec.name for spec in SERVICES}


@each_service
def test_every_state_and_every_message_has_a_sample(samples: Samples) -> None:
    assert {type(samples.own_state(name)) for name in samples.histories} == set(
        get_args(samples.states)
    )
    assert {type(message) for message in samples.messages.values()} == set(get_args(samples.inputs))


@each_service
def test_samples_are_named_after_what_they_are(samples: Samples) -> None:
    for name in samples.histories:
        assert name.partition(", ")[0] == type(samples.own_state(name)).__name__
    for name, message in samples.messages.items():
        assert name.partition(", ")[0] == name_of(message)


@each_service
def test_every_state_answers_every_message_before_and_after_the_deadline(samples: Samples) -> None:
    """An accepted fact folds, a quiet nothing says why, and nothing is both."""
    for name in samples.histories:
        for message in samples.messages:
            for at in (IN_TIME, TOO_LATE):
                answer = samples.decide(name, message, at)
                if isinstance(answer, Decision):
                    assert (
                        bool(answer.events or answer.effects or answer.dropped)
                        + bool(answer.quiet)
                        + bool(answer.impossible)
                        == 1
                    ), f"{name} x {message}: {answer}"
                else:
                    assert answer.code
                fold(samples, samples.state(name), answer)
