"""A line of the log that comes again and again is written once, and then counted.

Two lines are the same if all that identifies them agrees: the event and every field but those in
`VARYING`, which count tries or measure something. In text for people (`FREE`) numbers and ids do not
matter. So an error of one saga is never counted as another's, as long as what it is about is a field
of its own (`saga_id`, `effect`, `key`, `topic`, ...).

The first is written at once. For `WINDOW_S` from then on more of them are left out; the next one
that is written, after that time or when the process stops, has in `repeated` how many they were.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from chassis import clock

WINDOW_S: Final = 10.0
KINDS_MAX: Final = 1000
"""Kinds of lines that are remembered: the longest known is let go of, and counted out, first."""
VARYING: Final = frozenset(
    {"timestamp", "tries", "failures", "again_in_s", "cool_s", "seconds", "rows", "skus", "records"}
    | {"of", "count", "since"}
)
FREE: Final = frozenset({"event", "error", "exception", "detail"})
NUMBERS: Final = re.compile(r"\b[0-9a-f]{8,}\b|0x[0-9a-f]+|\d+", re.IGNORECASE)
LogLine = structlog.typing.EventDict
LineKind = tuple[tuple[str, str], ...]


@dataclass
class _Held:
    until: float
    left_out: int = 0
    last: LogLine = field(default_factory=dict)


@dataclass
class Repeats:
    """A processor of structlog; `write` is given the lines that are due at a `flush`."""

    write: Callable[[LogLine], None]
    held: dict[LineKind, _Held] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, _logger: Any, _method: str, line: LogLine) -> LogLine:
        """Raises DropEvent where the line is only counted."""
        kind, now = kind_of(line), clock.monotonic()
        with self._lock:
            held = self.held.get(kind)
            if held is not None and now < held.until:
                held.left_out, held.last = held.left_out + 1, line
                raise structlog.DropEvent
            self.held.pop(kind, None)
            while len(self.held) >= KINDS_MAX:
                self._count_out(self.held.pop(next(iter(self.held))))
            self.held[kind] = _Held(now + WINDOW_S)
        if held is not None and held.left_out:
            line = {**line, "repeated": held.left_out}
        return line

    def flush(self, *, all_: bool = False) -> None:
        """Write the counts whose time is over; all of them when the process stops."""
        now = clock.monotonic()
        with self._lock:
            for kind in [k for k, held in self.held.items() if all_ or now >= held.until]:
                self._count_out(self.held.pop(kind))

    def _count_out(self, held: _Held) -> None:
        """The last of those that were left out, with how many there were beside it."""
        if held.left_out > 1:
            self.write({**held.last, "repeated": held.left_out - 1})
        elif held.left_out:
            self.write(held.last)


def kind_of(line: LogLine) -> LineKind:
    """What the line is about."""
    return tuple(
        (name, NUMBERS.sub("#", str(value)) if name in FREE else str(value))
        for name, value in sorted(line.items())
        if name not in VARYING
    )
