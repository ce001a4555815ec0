"""What a service decides on each message in each state, as a table: `decide` itself is asked."""

from typing import Any, Final

from chassis.decision import Decision, Later, Refusal
from shared_events.catalog import CATALOG
from tests.domain.builders import IN_TIME, TOO_LATE
from tests.domain.samples import Samples, name_of

KINDS: Final = ("acts", "nothing", "refused", "impossible")
LEGEND: Final = """\
## How to read the state tables

Each service has a table of what it decides on a message (column) in a state (row). It is made by
asking the rules themselves, on states that are folds of events. What a state's or a message's name
has after a comma is what makes it answer differently.

- `stock.rejected` (out_of_stock): the event is recorded and published; in brackets the reason, where
  it is given here, or the attempt.
- requests `Capture`: an effect, called outside the transaction until its outcome is known.
- sets `X`, drops `X`: a timer, which comes back as a message when it is due.
- nothing: the message is expected here, and changes nothing.
- impossible: no correct neighbour sends it to this state; it is kept as a dead letter.
- refused: the code of the problem that the caller of the API gets.
- after "past the deadline": the answer to the same message after the order's deadline.
"""


def columns(samples: Samples) -> tuple[str, ...]:
    return ("state", *(_titled(name) for name in samples.messages))


def rows(samples: Samples) -> list[tuple[str, ...]]:
    return [
        (f"**{state}**", *(_cell(samples, state, message) for message in samples.messages))
        for state in samples.histories
    ]


def cells(samples: Samples) -> dict[str, dict[str, str]]:
    """Types of states to types of messages to what comes of it: acts, nothing, refused, impossible."""
    found: dict[str, dict[str, str]] = {}
    for state in samples.histories:
        own = found.setdefault(type(samples.own_state(state)).__name__, {})
        for message, body in samples.messages.items():
            kind = type(body).__name__
            answers = [samples.decide(state, message, at) for at in (IN_TIME, TOO_LATE)]
            kinds = [own.get(kind, "impossible"), *map(_kind, answers)]
            own[kind] = min(kinds, key=KINDS.index)
    return found


def causes(samples: Samples) -> dict[str, list[str]]:
    """What a service publishes on each message, in some state: wire types, in the order of their names."""
    found: dict[str, set[str]] = {}
    for state in samples.histories:
        for message, body in samples.messages.items():
            entry = CATALOG.by_event.get(type(body))
            cause = entry.wire_type if entry else type(body).__name__
            for at in (IN_TIME, TOO_LATE):
                answer = samples.decide(state, message, at)
                if isinstance(answer, Decision):
                    types = map(CATALOG.wire_type, answer.events)
                    found.setdefault(cause, set()).update(types)
    return {cause: sorted(types) for cause, types in found.items()}


def _kind(answer: Decision | Refusal) -> str:
    if isinstance(answer, Refusal):
        return "refused"
    if answer.impossible:
        return "impossible"
    return "nothing" if answer.quiet else "acts"


def _titled(name: str) -> str:
    """The type as code, what sets this sample apart as text."""
    kind, _, variant = name.partition(", ")
    return f"`{kind}` {variant}".strip()


def _cell(samples: Samples, state: str, message: str) -> str:
    result = {getattr(fact, "reason", "") for fact in samples.histories[state]}
    result.add(getattr(samples.messages[message], "reason", ""))
    in_time, late = (
        _answer(samples, samples.decide(state, message, at), result) for at in (IN_TIME, TOO_LATE)
    )
    return in_time if in_time == late else f"{in_time}; past the deadline {late}"


def _answer(samples: Samples, answer: Decision | Refusal, result: set[str]) -> str:
    if isinstance(answer, Refusal):
        return f"refused: {answer.code}"
    if why := answer.quiet or answer.impossible:
        verdict = "nothing" if answer.quiet else "impossible"
        return f"{verdict}: {why.replace(' o-1', '')}"  # the sample's id is nobody's business
    shown = [_event(event, result) for event in answer.events]
    shown += [_shown_effect(samples, effect) for effect in answer.effects]
    shown += [f"drops `{kind.__name__}`" for kind in answer.dropped]
    return ", ".join(shown)


def _event(event: Any, result: set[str]) -> str:
    reason, attempt = getattr(event, "reason", ""), getattr(event, "attempt", 1)
    more = [reason] if reason and reason not in result else []
    more += [f"attempt {attempt}"] if attempt > 1 else []
    return f"`{name_of(event)}`" + (f" ({', '.join(more)})" if more else "")


def _shown_effect(samples: Samples, effect: Any) -> str:
    what = effect.what if isinstance(effect, Later) else effect
    verb = "sets" if type(what) in samples.service.timers.values() else "requests"
    return f"{verb} `{type(what).__name__}`"
