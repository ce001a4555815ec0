"""How soon a consumer group takes a member that died for dead, and what its brokers allow.

A broker refuses a session that is shorter than its `group.min.session.timeout.ms`, by default 6 s.
"""

from typing import Final

from aiokafka.errors import InvalidSessionTimeoutError

from chassis.errors import cause_of

SESSION_S: Final = 2.0
BEATS: Final = 4
"""Heartbeats in a session: three may be late or lost."""
USUAL_MIN_S: Final = 6.0
"""What a broker allows of which nobody has asked more."""
WHY: Final = "shorter than the broker's group.min.session.timeout.ms"


def options_of(session_s: float) -> dict[str, int]:
    """The keyword arguments of a consumer of aiokafka that follow from the session timeout."""
    session_ms = round(session_s * 1000)
    return {"session_timeout_ms": session_ms, "heartbeat_interval_ms": session_ms // BEATS}


def longer_than(refused_s: float) -> float:
    """What to ask for next, in seconds, when a broker has refused a session timeout."""
    return max(USUAL_MIN_S, 2 * refused_s)


def is_too_short(error: BaseException | None) -> bool:
    """Whether what ended a client is a session timeout that the broker does not allow."""
    return cause_of(error, InvalidSessionTimeoutError) is not None
