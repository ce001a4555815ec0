"""An event that comes again under a new id meets the state that it led to, and changes nothing there.

The inbox knows a message by its id alone. So of a record that somebody writes again under another one
the rules have to say that it was decided on before: for each event that is read, in each state.
"""

import pytest

from chassis.decision import Decision
from tests.domain.builders import IN_TIME, TOO_LATE
from tests.domain.samples import Samples
from tests.domain.samples.all import BY_SERVICE


@pytest.mark.parametrize("samples", BY_SERVICE.values(), ids=BY_SERVICE.keys())
def test_an_event_again_under_a_new_id_is_a_named_no_op(samples: Samples) -> None:
    service, met = samples.service, set()
    events = {n: body for n, body in samples.messages.items() if type(body) in service.consumes}
    for name in samples.histories:
        for message, body in events.items():
            first = samples.decide(name, message, IN_TIME)
            assert isinstance(first, Decision)
            if first.impossible:  # parked, and nothing has changed
                continue
            after = samples.state(name)
            for event in first.events:
                after = service.evolve(after, event)
            for at in (IN_TIME, TOO_LATE):
                again = service.decide(after, body, at)
                assert isinstance(again, Decision)
                assert again == Decision(quiet=again.quiet or "none"), f"{name} x {message}"
            met.add(type(body))
    assert met == {*service.consumes}
