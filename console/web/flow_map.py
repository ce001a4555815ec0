"""The map: the services in the order of the protocol, with an arrow for each way that an order goes on.

Forward above, backward below, drawn from `console.flow` and `guarantees.protocol`: a service or an event
that is new has a place without a change here.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, pairwise
from typing import Final
from urllib.parse import quote

from markupsafe import Markup, escape

from console.model import Counted, EdgeKind, EdgeStanding, FlowEdge
from guarantees.durations import lasting
from guarantees.protocol import STEPS

PITCH: Final = 280
WIDTH: Final = 150
LEFT: Final = 15
LANE: Final = 46
"""Between two arcs that pass over services."""
CALL: Final = 28
"""Of a line in a box for what a service waits for."""
LATE_S: Final = 60.0
"""An order that has waited longer on an edge is marked."""
BOX: Final = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="{}"/>')
CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")
SERVICES: Final = tuple(step.service for step in STEPS)
NEXT: Final = {(a.service, b.service): a.forward for a, b in pairwise(STEPS)}
"""The event that takes an order on from a service to the next one."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is painted over the map for one order: edges it has passed, where it waits, what remains."""

    taken: Collection[str] = ()
    waits: Collection[str] = ()
    next: Collection[str] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.taken or self.waits or self.next)


@dataclass(frozen=True, slots=True)
class Notes:
    """What a service's box says beside its name: text, and whether it is bad."""

    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrow:
    """Edges between the same two services that are drawn as one."""

    kind: EdgeKind
    source: str
    target: str
    standings: tuple[EdgeStanding, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(each.edge.id for each in self.standings)

    @property
    def waiting(self) -> Counted:
        return total(each.waiting for each in self.standings)

    @property
    def oldest(self) -> datetime | None:
        return min((s.oldest_since for s in self.standings if s.oldest_since), default=None)

    @property
    def label(self) -> str:
        """Its events: the name of what they are about once."""
        names = [_name(each.edge) for each in self.standings]
        subject = names[0].partition(".")[0]
        verbs = [name.removeprefix(f"{subject}.") for name in dict.fromkeys(names)]
        return (
            f"{subject}.{', '.join(verbs)}"
            if self.span != 1 or len(verbs) == 1
            else ", ".join(verbs)
        )

    @property
    def shown(self) -> str:
        """What the picture calls it."""
        return in_words(self.standings[0].edge.what) if self.source == self.target else self.label

    @property
    def span(self) -> int:
        return abs(SERVICES.index(self.target) - SERVICES.index(self.source))

    @property
    def is_direct(self) -> bool:
        """To the neighbour, along the chain."""
        step = SERVICES.index(self.target) - SERVICES.index(self.source)
        if self.kind is EdgeKind.BACKWARD:
            return step == -1
        return step == 1 and self.standings[0].edge.event == NEXT[self.source, self.target]


@dataclass(frozen=True, slots=True)
class MapLayout:
    """Where the parts are: arcs above and below the boxes by their lane, from the boxes outwards."""

    direct: tuple[Arrow, ...]
    above: Mapping[int, tuple[Arrow, ...]]
    below: Mapping[int, tuple[Arrow, ...]]
    rows: int
    """Lines in the box that has most of them."""
    top: int = field(init=False)
    height: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "top", 30 + LANE * len(self.above))
        object.__setattr__(self, "height", 120 + CALL * self.rows)

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def size(self) -> tuple[int, int]:
        width = 2 * LEFT + PITCH * (len(SERVICES) - 1) + WIDTH
        return width, self.bottom + LANE * len(self.below) + 24


def total(counts: Iterable[Counted]) -> Counted:
    found = list(counts)
    return Counted(sum(c.number for c in found), any(c.is_capped for c in found))


def drawn(
    standings: Sequence[EdgeStanding],
    now: datetime,
    notes: Mapping[str, Notes] | None = None,
    marks: Marks | None = None,
) -> Markup:
    """The picture. With `marks` it is of one order, and counts nothing."""
    chosen = marks or Marks()
    inner = [s for s in standings if s.edge.kind in {EdgeKind.CALL, EdgeKind.TIMER}]
    layout = laid_out(arrows(s for s in standings if s not in inner), inner)
    width, height = layout.size
    pen = _Pen(layout, now, chosen, marks is not None)
    parts = [*pen.arcs(), *pen.boxes(inner, notes or {}), *pen.directs()]
    title = "The way of an order through the services"
    head = Markup('<svg class="map" viewBox="0 0 {} {}" role="group" aria-label="{}">')
    return head.format(width, height, title) + Markup("\n").join(parts) + Markup("</svg>")


def arrows(standings: Iterable[EdgeStanding]) -> tuple[Arrow, ...]:
    def place(standing: EdgeStanding) -> tuple[str, str, str, bool]:
        edge = standing.edge
        is_next = NEXT.get((edge.source, edge.target)) == edge.event
        return edge.kind, edge.source, edge.target, is_next

    found = groupby(sorted(standings, key=place), key=place)
    grouped = ((EdgeKind(kind), a, b, tuple(each)) for (kind, a, b, _), each in found)
    return tuple(Arrow(*each) for each in grouped)


def laid_out(found: Iterable[Arrow], inner: Sequence[EdgeStanding]) -> MapLayout:
    known = tuple(found)
    arcs = sorted((a for a in known if not a.is_direct), key=lambda a: a.span)
    most = max((sum(s.edge.source == name for s in inner) for name in SERVICES), default=0)
    return MapLayout(
        tuple(arrow for arrow in known if arrow.is_direct),
        _lanes(arrow for arrow in arcs if arrow.kind is not EdgeKind.BACKWARD),
        _lanes(arrow for arrow in arcs if arrow.kind is EdgeKind.BACKWARD),
        most,
    )


def _lanes(arcs: Iterable[Arrow]) -> dict[int, tuple[Arrow, ...]]:
    """Arcs that would cross in a lane are in different ones; shorter ones are nearer to the boxes."""
    lanes: list[list[Arrow]] = []
    for arc in arcs:
        free = (lane for lane in lanes if not any(_overlap(arc, other) for other in lane))
        lane = next(free, None)
        if lane is None:
            lanes.append(lane := [])
        lane.append(arc)
    return {n: tuple(lane) for n, lane in enumerate(lanes)}


def _overlap(one: Arrow, other: Arrow) -> bool:
    a, b = sorted((SERVICES.index(one.source), SERVICES.index(one.target)))
    c, d = sorted((SERVICES.index(other.source), SERVICES.index(other.target)))
    return a <= d and c <= b


def _name(edge: FlowEdge) -> str:
    return edge.event.rpartition(".")[0] or edge.what


def _left(service: str) -> int:
    return LEFT + PITCH * SERVICES.index(service)


@dataclass(frozen=True, slots=True)
class _Pen:
    layout: MapLayout
    now: datetime
    marks: Marks
    is_of_one: bool

    def boxes(self, inner: Sequence[EdgeStanding], notes: Mapping[str, Notes]) -> Iterator[Markup]:
        top, height = self.layout.top, self.layout.height
        for name in SERVICES:
            x, noted = _left(name), notes.get(name, Notes())
            style = "node bad" if noted.lines else "node"
            yield BOX.format(style, x, top, WIDTH, height, 8)
            yield _text(x + WIDTH // 2, top + 25, name, "title")
            for n, line in enumerate(noted.lines[:2]):
                yield _text(x + WIDTH // 2, top + 44 + 16 * n, f"▲ {line}", "dim")
            own = [standing for standing in inner if standing.edge.source == name]
            for n, standing in enumerate(own):
                yield self._call(x, top + 84 + CALL * n, standing)

    def _call(self, x: int, y: int, standing: EdgeStanding) -> Markup:
        edge = standing.edge
        style = "dim timer" if edge.kind is EdgeKind.TIMER else "dim"
        arrow = Arrow(edge.kind, edge.source, edge.target, (standing,))
        return self._linked(
            arrow,
            _text(x + 8, y + 15, arrow.shown, style, "start")
            + self._badge(arrow, x + WIDTH - 23, y + 10),
        )

    def directs(self) -> Iterator[Markup]:
        for arrow in self.layout.direct:
            a, b = _left(arrow.source), _left(arrow.target)
            is_forward = arrow.kind is not EdgeKind.BACKWARD
            y = self.layout.top + (52 if is_forward else self.layout.height - 30)
            start, end = (a + WIDTH, b) if is_forward else (a, b + WIDTH)
            middle = (start + end) // 2
            tip = 1 if is_forward else -1
            drawn = _line(f"M{start} {y}H{end - 9 * tip}", arrow) + _tip(end, y, tip, 0, arrow)
            label = _text(middle, y - 18, arrow.label, "dim")
            yield self._linked(arrow, drawn + label + self._badge(arrow, middle, y))

    def arcs(self) -> Iterator[Markup]:
        for lanes, side in ((self.layout.above, -1), (self.layout.below, 1)):
            for lane, arcs in lanes.items():
                for arrow in arcs:
                    yield self._arc(arrow, lane, side)

    def _arc(self, arrow: Arrow, lane: int, side: int) -> Markup:
        edge = self.layout.top if side < 0 else self.layout.bottom
        y = edge + side * (26 + LANE * lane)
        step = 1 if _left(arrow.target) > _left(arrow.source) else -1
        shift = 12 * lane
        start = _left(arrow.source) + WIDTH // 2 + step * (14 + shift)
        end = _left(arrow.target) + WIDTH // 2 - step * (14 + shift)
        up, r = (side, 8)
        path = (
            f"M{start} {edge}V{y - up * r}Q{start} {y} {start + step * r} {y}"
            f"H{end - step * r}Q{end} {y} {end} {y - up * r}V{edge + side * 9}"
        )
        middle = (start + end) // 2
        drawn = _line(path, arrow) + _tip(end, edge, 0, -side, arrow)
        is_short = arrow.span == 1
        place = (middle, y - 16, "middle") if is_short else (middle + 32, y - 6, "start")
        label = _text(*place[:2], arrow.label, "dim", place[2])
        return self._linked(arrow, drawn + label + self._badge(arrow, middle, y))

    def _badge(self, arrow: Arrow, x: int, y: int) -> Markup:
        """How many wait there and since when; for one order, whether it waits there."""
        if self.is_of_one:
            return self._sign(arrow, x, y)
        count = str(arrow.waiting)
        half = 14 + 4 * max(len(count) - 2, 0)
        shown = BOX.format("badge", x - half, y - 11, 2 * half, 22, 11) + _text(
            x, y + 5, count, "count"
        )
        if age := self._age(arrow):
            shown += _text(x, y + 26, age, "dim")
        return shown

    def _sign(self, arrow: Arrow, x: int, y: int) -> Markup:
        """The last sign of what an order has to do with it; nothing where it has nothing."""
        signs = (("●", self.marks.waits), ("✓", self.marks.taken), ("…", self.marks.next))
        sign = next((sign for sign, ids in signs if _any(arrow, ids)), "")
        if not sign:
            return Markup()
        return BOX.format("badge", x - 14, y - 11, 28, 22, 11) + _text(x, y + 5, sign, "count")

    def _age(self, arrow: Arrow) -> str:
        """How long the oldest has waited, where the picture shows it: there is no room in a box."""
        if not arrow.waiting.number or arrow.source == arrow.target:
            return ""
        return lasting(self._age_s(arrow))

    def _age_s(self, arrow: Arrow) -> float:
        return (self.now - arrow.oldest).total_seconds() if arrow.oldest else 0.0

    def _linked(self, arrow: Arrow, content: Markup) -> Markup:
        """A link to the orders that wait there, with what the picture shows in words."""
        if self.is_of_one:
            return Markup('<g class="{}">{}</g>').format(self._style(arrow), content)
        way = "in" if arrow.source == arrow.target else f"from {arrow.source} to"
        parts = (arrow.shown, str(arrow.waiting), self._age(arrow), f"waiting {way} {arrow.target}")
        words = " ".join(filter(None, parts))
        link = Markup('<a id="on-{}" href="{}" class="{}" aria-label="{}">{}</a>')
        place = (
            arrow.ids[0],
            orders_on(arrow.ids),
        )  # by its id it keeps the focus when it is drawn anew
        return link.format(*place, self._style(arrow), words, content)

    def _style(self, arrow: Arrow) -> str:
        if self.is_of_one:
            if _any(arrow, self.marks.waits):
                return "busy taken"
            if _any(arrow, self.marks.taken):
                return "taken"
            return "next" if _any(arrow, self.marks.next) else "dim-edge"
        if not arrow.waiting.number or arrow.kind is EdgeKind.TIMER:
            return "idle"
        return "late" if self._age_s(arrow) > LATE_S else "busy"


def in_words(kind: str) -> str:
    """The kind of an effect or a timer, such as CancelBooking."""
    return CAPITAL.sub(" ", kind).strip().lower()


def orders_on(ids: Sequence[str]) -> str:
    """The address of the orders that wait on these edges."""
    return f"/orders?filter={quote('edge:' + ','.join(ids))}"


def _any(arrow: Arrow, ids: Collection[str]) -> bool:
    return not set(arrow.ids).isdisjoint(ids)


def _direction(arrow: Arrow) -> str:
    return "backward" if arrow.kind is EdgeKind.BACKWARD else "forward"


def _line(path: str, arrow: Arrow) -> Markup:
    return Markup('<path class="edge {}" d="{}"/>').format(_direction(arrow), path)


def _tip(x: int, y: int, right: int, down: int, arrow: Arrow) -> Markup:
    """An arrow's head that ends at a point."""
    if right:
        points = f"{x},{y} {x - 10 * right},{y - 5} {x - 10 * right},{y + 5}"
    else:
        points = f"{x},{y} {x - 5},{y - 10 * down} {x + 5},{y - 10 * down}"
    return Markup('<polygon class="head {}" points="{}"/>').format(_direction(arrow), points)


def _text(x: int, y: int, text: str, style: str, anchor: str = "middle") -> Markup:
    at = Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text> ')
    return at.format(style, x, y, anchor, escape(text))
