"""Decide once more on dead letters, when a person has removed what was in their way."""

from dataclasses import dataclass, replace

from chassis import tracing
from chassis.dead_letters import audit_text, unreadable
from chassis.decide import published_by
from chassis.errors import ConcurrentChangeError
from chassis.handle import Handler
from chassis.kafka import is_consumed, message_of
from chassis.message import Message, OperatorAction, Outcome, Parked
from chassis.store import DeadLetter, Inspection


@dataclass(frozen=True, slots=True)
class Redriven:
    """What one parked message came to; `published` are wire types."""

    id: str
    outcome: Outcome
    published: tuple[str, ...] = ()


async def redrive(
    handler: Handler,
    inspection: Inspection,
    key: str,
    by: str,
    *,
    note: str = "",
    dry_run: bool = False,
) -> list[Redriven]:
    """Decide on a key's parked messages, in order, up to the first that fails again.

    Each is a transaction of its own, which removes it and publishes; a dry run changes nothing.
    Raises TransientError when the database is away or somebody was faster; what went well stays.
    """
    catalog = handler.service.catalog

    def asked_again(letter: DeadLetter) -> Message:
        found = message_of(catalog, letter.record)
        if isinstance(found, Message) and not is_consumed(handler.service, letter.record):
            found = Parked(f"{handler.service.name} does not read this event")
        message = unreadable(letter.record, found.reason) if isinstance(found, Parked) else found
        action = OperatorAction(by, "redrive", letter.key, note, audit_text(letter.record))
        came_with = message.traceparent
        return replace(
            message,
            key=letter.key,
            letter_id=letter.id,
            operator=action,
            traceparent=tracing.here(came_with),
            created=came_with,
        )

    def redriven(letter: DeadLetter, outcome: Outcome) -> Redriven:
        return Redriven(letter.id, outcome, published_by(catalog, outcome))

    if dry_run:
        letters = await inspection.dead_letters(key)
        outcomes = await handler.preview(list(map(asked_again, letters)))
        return _to_first_failure(list(map(redriven, letters, outcomes)))
    done: list[Redriven] = []
    while letters := await inspection.dead_letters(key):
        try:
            (outcome,) = await handler.handle([asked_again(letters[0])])
        except ConcurrentChangeError:
            if letters[0].id in {letter.id for letter in await inspection.dead_letters(key)}:
                raise
            continue  # another has redriven or discarded it
        done.append(redriven(letters[0], outcome))
        if isinstance(outcome, Parked):
            break
    return done


def _to_first_failure(found: list[Redriven]) -> list[Redriven]:
    failed = next((n for n, each in enumerate(found) if isinstance(each.outcome, Parked)), None)
    return found if failed is None else found[: failed + 1]
