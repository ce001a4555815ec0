"""How soon a consumer group takes a member that died for dead, and what its brokers allow.

A broker refuses a session that is shorter than its `group.min.session.timeout.ms`, by default 6 s. A member
that lives and is taken for dead, as its process got no CPU or its network stood still, costs its group a
rebalance, which takes more of what there was too little of: it asks for longer sessions until that ends.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiokafka.errors import InvalidSessionTimeoutError

from chassis import clock
from chassis.errors import cause_of

log = structlog.get_logger()
SESSION_S: Final = 2.0
BEATS: Final = 4
"""Heartbeats in a session: three may be late or lost."""
USUAL_MIN_S: Final = 6.0
"""What a broker allows of which nobody has asked more."""
LONGEST_S: Final = 30.0
"""How long a session becomes by losses: as long may orders wait for a process that died."""
CALM_S: Final = 300.0
"""Without a loss for so long, shorter sessions are tried again."""
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


@dataclass
class SessionTimeout:
    """What a process asks its group for, in seconds, whichever of its clients joins.

    `shortest_s` is what is set, or what the broker allows.
    """

    shortest_s: float = SESSION_S
    seconds: float = field(init=False)
    _changed_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.seconds = self._set_s = self.shortest_s
        self._changed_at = clock.monotonic()

    @property
    def longer_by_s(self) -> float:
        """Than what is set."""
        return self.seconds - self._set_s

    def refused(self) -> None:
        """The broker allows none so short; its administrator may allow it."""
        asked_s, self.shortest_s = self.seconds, longer_than(self.seconds)
        self._change(self.shortest_s)
        log.warning("session_timeout_refused", why=WHY, asked_s=asked_s, now_s=self.seconds)

    def lost(self) -> None:
        """A member that lived was taken for dead."""
        asked_s = self.seconds
        self._change(min(max(LONGEST_S, self.shortest_s), 2 * asked_s))
        log.warning("membership_lost", asked_s=asked_s, now_s=self.seconds)

    def is_calm(self, now: float) -> bool:
        """Whether it has been longer than it has to be for long enough."""
        return self.seconds > self.shortest_s and now - self._changed_at >= CALM_S

    def shorten(self) -> None:
        self._change(max(self.shortest_s, self.seconds / 2))
        log.info("session_timeout_shortened", now_s=self.seconds)

    def _change(self, seconds: float) -> None:
        self.seconds, self._changed_at = seconds, clock.monotonic()


class Membership:
    """One client's in its group. aiokafka has no public way to any of this."""

    def __init__(self, client: Any, session: SessionTimeout) -> None:
        self._client, self._session = client, session
        self._id = ""

    def look(self) -> None:
        """Called as a rebalance begins and as it ends: who was taken for dead has no id, or a new one."""
        before, self._id = self._id, self._client._coordinator.member_id  # noqa: SLF001
        if before not in {"", self._id}:
            self._session.lost()
            self._ask()

    def rejoin_if_calm(self, now: float) -> None:
        if self._session.is_calm(now):
            self._session.shorten()
            self._ask()
            self._client._coordinator.request_rejoin()  # noqa: SLF001

    def _ask(self) -> None:
        """From the next time it joins."""
        for name, milliseconds in options_of(self._session.seconds).items():
            setattr(self._client._coordinator, f"_{name}", milliseconds)  # noqa: SLF001
