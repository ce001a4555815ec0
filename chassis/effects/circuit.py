"""A circuit breaker: a provider that is away is left alone, then asked by one probe at a time.

Closed, open, half-open, as in M. Nygard's "Release It!". Only unknown outcomes of *different*
effects open it, so that one effect which always fails holds up itself alone.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

import structlog

from chassis import clock
from chassis.errors import MisconfiguredError, ProviderError
from chassis.metrics import CIRCUIT

log = structlog.get_logger()


class CircuitState(IntEnum):
    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass
class Circuit:
    """`failures_max` effects that fail one after the other open it; it cools for `cool_s` and more."""

    service: str
    provider: str
    failures_max: int = 5
    cool_s: float = 1.0
    cool_max_s: float = 30.0
    state: CircuitState = CircuitState.CLOSED
    why: str = ""
    _failing: set[str] = field(default_factory=set)
    times_opened: int = 0
    _open_until: float = 0.0
    _probing: bool = False

    def __post_init__(self) -> None:
        CIRCUIT.labels(self.service, self.provider).set(self.state)

    def permits(self, free: int) -> int:
        """How many of the free slots may be used now."""
        if self.state is CircuitState.OPEN and clock.monotonic() >= self._open_until:
            self._to(CircuitState.HALF_OPEN)
            self._probing = False
        if self.state is CircuitState.HALF_OPEN:
            return 0 if self._probing else min(free, 1)
        return free if self.state is CircuitState.CLOSED else 0

    @property
    def calls_again_at(self) -> datetime | None:
        """When it lets the next call through; None where it does now, or waits for one."""
        if self.state is not CircuitState.OPEN:
            return None
        return clock.now() + timedelta(seconds=max(0.0, self._open_until - clock.monotonic()))

    @property
    def is_probing(self) -> bool:
        """One call tells whether the provider is back: not one that has always failed."""
        return self.state is CircuitState.HALF_OPEN

    def asking(self, count: int) -> None:
        self._probing = self._probing or (self.state is CircuitState.HALF_OPEN and count > 0)

    def succeeded(self) -> None:
        """The provider answered, whatever it said."""
        self._failing.clear()
        self.times_opened = 0
        if self.state is not CircuitState.CLOSED:
            log.info("circuit_closed", provider=self.provider)
            self.why = ""
            self._to(CircuitState.CLOSED)

    def failed(self, effect_id: str, error: Exception) -> None:
        """The outcome is unknown. A provider that only asks for patience is not away."""
        if isinstance(error, ProviderError) and error.retry_after_s is not None:
            self._probing = False
            return
        self._failing.add(effect_id)
        enough = len(self._failing) >= self.failures_max or self.state is CircuitState.HALF_OPEN
        if self.state is not CircuitState.OPEN and (
            enough or isinstance(error, MisconfiguredError)
        ):
            self.times_opened += 1
            cool_s = min(self.cool_max_s, self.cool_s * 2 ** min(self.times_opened - 1, 10))
            self._open_until = clock.monotonic() + cool_s
            self.why = str(error) or repr(error)
            log.error("circuit_opened", provider=self.provider, error=self.why, cool_s=cool_s)
            self._to(CircuitState.OPEN)

    def _to(self, state: CircuitState) -> None:
        self.state = state
        CIRCUIT.labels(self.service, self.provider).set(state)
