"""What a service's `decide` may answer: facts and effects, a quiet nothing, or a refusal."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

RefusalKind: TypeAlias = Literal["conflict", "invalid", "not_found"]
"""Why a command is refused: the present state does not allow it, no state would, or what it is about
does not exist."""


@dataclass(frozen=True, slots=True)
class Later:
    """An effect or a timer that is due at a time of its own; anything else is due at once."""

    at: datetime
    what: Any


@dataclass(frozen=True, slots=True)
class Decision:
    """Facts to record and publish, and effects to run outside the transaction.

    `effects` may hold timers, which come back as messages when they are due (see `Later`);
    `dropped` names kinds of timers that this saga needs no more. `quiet` says why nothing
    happens; `impossible` marks a message that this state can't receive from a correct neighbour:
    the chassis keeps it as a dead letter.
    """

    events: tuple[Any, ...] = ()
    effects: tuple[Any, ...] = ()
    dropped: tuple[type[Any], ...] = ()
    quiet: str = ""
    impossible: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command is refused: `code` is stable and machine-readable, `detail` is for people."""

    code: str
    detail: str
    kind: RefusalKind = "conflict"


def publish(*events: object) -> Decision:
    return Decision(events=events)


def nothing(why: str) -> Decision:
    return Decision(quiet=why)


def impossible(why: str) -> Decision:
    return Decision(impossible=why)
