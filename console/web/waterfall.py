"""An order's events as a waterfall: one lane a service, from what led to an event to the event itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from markupsafe import Markup

from console.model import EventRow
from guarantees.protocol import COMPENSATIONS, STEPS

WIDTH: Final = 1300
NAMES: Final = 90
LANE: Final = 30
AXIS: Final = 24
BAR: Final = 14
SHORTEST: Final = 3
LABELLED: Final = 70
"""A bar that is so long has its time in it."""
SERVICES: Final = tuple(step.service for step in STEPS)
HEAD: Final = Markup(
    '<svg class="waterfall" viewBox="0 0 {} {}" role="img" aria-label="Which service took how long">'
)
LANE_BOX: Final = Markup('<rect class="lane" x="{}" y="{}" width="{}" height="{}" rx="3"/>')
BAR_BOX: Final = Markup(
    '<rect class="bar {}" x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="2"><title>{}</title></rect>'
)
TEXT: Final = Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>')


def drawn(events: Sequence[EventRow], causes: Mapping[str, str]) -> Markup:
    """Empty for an order without events."""
    if not events:
        return Markup()
    there = [name for name in SERVICES if any(event.service == name for event in events)]
    height = AXIS + LANE * len(there)
    parts = [*_lanes(there), *_bars(events, causes, there), *_axis(events)]
    return HEAD.format(WIDTH, height) + Markup("").join(parts) + Markup("</svg>")


def milliseconds(event: EventRow, since: EventRow) -> float:
    return (event.time - since.time).total_seconds() * 1000


def _lanes(there: Sequence[str]) -> Iterator[Markup]:
    for n, name in enumerate(there):
        yield LANE_BOX.format(NAMES, AXIS + n * LANE + 3, WIDTH - NAMES, LANE - 6)
        yield TEXT.format("", NAMES - 8, AXIS + n * LANE + 19, "end", name)


def _bars(
    events: Sequence[EventRow], causes: Mapping[str, str], there: Sequence[str]
) -> Iterator[Markup]:
    by_id = {event.id: event for event in events}
    scale = _scale(events)
    first = min(events, key=lambda event: event.time)
    for event in events:
        cause = by_id.get(causes.get(event.id, ""), event)
        began = max(milliseconds(cause, first), 0)
        lasted = max(milliseconds(event, cause), 0)
        x, width = NAMES + began * scale, max(lasted * scale, SHORTEST)
        y = (
            AXIS + there.index(event.service) * LANE + (LANE - BAR) // 2
            if event.service in there
            else 0
        )
        title = f"{event.type}: {lasted:,.0f} ms"
        yield BAR_BOX.format(_style(event, cause), min(x, WIDTH - width), y, width, BAR, title)


def _style(event: EventRow, cause: EventRow) -> str:
    """What took the time: a compensation, a call to the outside, or the service itself."""
    if event.type in COMPENSATIONS or "cancel" in event.type:
        return "backward"
    is_own = cause.service == event.service and event.causation_id != cause.id
    return "outside" if is_own and event is not cause else ""


def _axis(events: Sequence[EventRow]) -> Iterator[Markup]:
    total = _total_ms(events)
    for n in range(5):
        x = NAMES + (WIDTH - NAMES) * n / 4
        anchor = "start" if n == 0 else "end" if n == 4 else "middle"  # noqa: PLR2004 - the last
        yield TEXT.format("dim", f"{x:.0f}", 14, anchor, _as_time(total * n / 4))


def _as_time(ms: float) -> str:
    return f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:,.0f} s"  # noqa: PLR2004 - as people say it


def _total_ms(events: Sequence[EventRow]) -> float:
    times = [event.time for event in events]
    return (max(times) - min(times)).total_seconds() * 1000


def _scale(events: Sequence[EventRow]) -> float:
    return (WIDTH - NAMES) / max(_total_ms(events), 1.0)
