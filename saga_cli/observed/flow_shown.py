"""Declared and observed edges as a table, as JSON, as a Mermaid flowchart and as a drawing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any, Final

from rich.table import Table

from saga_cli.observed.flow import EdgeStatus, ObservedEdge
from saga_cli.terminal import add_plain, table_of
from shared_events.catalog import CATALOG

COLUMNS: Final = ("service", "on", "publishes", "count", "p50 ms", "p95 ms", "max ms", "")
NUMBERS: Final = {"count", "p50 ms", "p95 ms", "max ms"}
SIGNS: Final = {
    EdgeStatus.DECLARED: "",
    EdgeStatus.UNDECLARED: "UNDECLARED",
    EdgeStatus.UNSEEN: "never seen",
}
ARROWS: Final = {
    EdgeStatus.DECLARED: "-->",
    EdgeStatus.UNDECLARED: "==>",
    EdgeStatus.UNSEEN: "-.->",
}
ROW, WIDTH, BOX, TOP, GAP = 34, 344, 264, 56, 26
"""Of the drawing, in pixels: a row, a column, a box in it, the head, and the left of a box."""
HEAD: Final = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
    ' markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>'
)
LEGEND: Final = (
    "The number of each event; arrows lead from what it was published on. Dashed and red: undeclared."
    " Dotted: declared, never seen."
)
STYLE: Final = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .head { font-weight: 600; font-size: 14px }
rect { fill: #f6f8fa; stroke: #d0d7de } .n { font-size: 11px; fill: #57606a }
path { fill: none; stroke: #57606a; opacity: .6; marker-end: url(#head) }
.tip { fill: #57606a; stroke: none; opacity: 1; marker-end: none }
.undeclared { stroke: #cf222e; stroke-dasharray: 7 3; opacity: 1 }
.unseen { stroke-dasharray: 2 4 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } rect { fill: #161b22; stroke: #30363d }
.n { fill: #9198a1 } path { stroke: #9198a1 } svg { background: #0d1117 } }
"""


def table(edges: Sequence[ObservedEdge]) -> Table:
    shown = table_of(*COLUMNS, right=NUMBERS)
    for edge in edges:
        times = [
            f"{ms:.0f}" if edge.count else "" for ms in (edge.p50_ms, edge.p95_ms, edge.max_ms)
        ]
        names = (edge.service, edge.cause, edge.event)
        add_plain(shown, *names, str(edge.count), *times, SIGNS[edge.status])
    return shown


def as_json(edges: Sequence[ObservedEdge]) -> list[dict[str, Any]]:
    return [asdict(edge) for edge in edges]


def mermaid(edges: Sequence[ObservedEdge]) -> Iterator[str]:
    """A flowchart: a box for each event and each other message, by service; counts are on the arrows."""
    yield "flowchart LR"
    ids = {name: f"n{n}" for n, name in enumerate(_nodes(edges))}
    for service, events in _by_service(edges).items():
        yield f"    subgraph {service}"
        yield from (f'        {ids[event]}["{event}"]' for event in events)
        yield "    end"
    outside = [name for name in ids if name not in {edge.event for edge in edges}]
    yield from (f'    {ids[name]}(["{name}"])' for name in outside)
    for edge in edges:
        label = f"{edge.count}, {edge.p50_ms:.0f} ms" if edge.count else SIGNS[edge.status]
        yield f'    {ids[edge.cause]} {ARROWS[edge.status]}|"{label}"| {ids[edge.event]}'


def svg(edges: Sequence[ObservedEdge]) -> Iterator[str]:
    """A column for each service, a box for each of its events, with what led to it from no topic."""
    columns = _by_service(edges)
    places = {
        event: (x * WIDTH + GAP, TOP + y * ROW)
        for x, events in enumerate(columns.values())
        for y, event in enumerate(events)
    }
    width = len(columns) * WIDTH + GAP
    height = TOP + max(map(len, columns.values()), default=0) * ROW + 2 * GAP
    size = f'viewBox="0 0 {width} {height}" width="{width}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    yield f"<title>What led to what: {len(edges)} edges</title><style>{STYLE}</style>{HEAD}"
    yield from (_arrow(edge, places) for edge in edges if edge.cause in places)
    for x, service in enumerate(columns):
        yield f'<text class="head" x="{x * WIDTH + GAP}" y="{TOP - 20}">{escape(service)}</text>'
    for event, (x, y) in places.items():
        yield from _box(event, x, y, [edge for edge in edges if edge.event == event])
    yield f'<text class="n" x="{GAP}" y="{height - GAP // 2}">{LEGEND}</text></svg>'


def _arrow(edge: ObservedEdge, places: Mapping[str, tuple[int, int]]) -> str:
    """Thicker by the number's length; it says what it stands for where a pointer rests on it."""
    (x1, y1), (x2, y2) = places[edge.cause], places[edge.event]
    begin, end = (x1 + BOX, x2) if x2 > x1 else (x1, x2 + BOX) if x2 < x1 else (x1 + BOX, x2 + BOX)
    bend = 40 if end >= begin else -40
    (from_, to) = (y1 + ROW // 3, y2 + ROW // 3)
    curve = f"M{begin} {from_} C{begin + bend} {from_} {end - bend} {to} {end} {to}"
    label = f"{edge.cause} > {edge.event}: {edge.count}, p50 {edge.p50_ms:.0f} ms, p95 {edge.p95_ms:.0f} ms"
    wide = 0.6 + 0.6 * len(str(edge.count))
    drawn = f'<path class="{edge.status}" stroke-width="{wide:.1f}" d="{curve}">'
    return f"{drawn}<title>{escape(label)}</title></path>"


def _box(event: str, x: int, y: int, edges: Sequence[ObservedEdge]) -> Iterator[str]:
    count = sum(edge.count for edge in edges)
    others = ", ".join(edge.cause for edge in edges if "." not in edge.cause)
    wrong = any(edge.status is EdgeStatus.UNDECLARED for edge in edges)
    mark = ' class="undeclared"' if wrong else ""
    yield f'<rect{mark} x="{x}" y="{y}" width="{BOX}" height="{ROW - 8}" rx="4"/>'
    yield f'<text x="{x + 8}" y="{y + 16}">{escape(event)}<title>{escape(others)}</title></text>'
    yield f'<text class="n" x="{x + BOX - 8}" y="{y + 16}" text-anchor="end">{count or "-"}</text>'


def _by_service(edges: Sequence[ObservedEdge]) -> dict[str, list[str]]:
    """The events of each service, in the order in which its owner lists them."""
    columns: dict[str, set[str]] = {}
    for edge in edges:
        columns.setdefault(edge.service, set()).add(edge.event)
    listed = [*CATALOG.by_type]
    return {name: sorted(events, key=listed.index) for name, events in columns.items()}


def _nodes(edges: Sequence[ObservedEdge]) -> list[str]:
    return [*dict.fromkeys(name for edge in edges for name in (edge.cause, edge.event))]


AS_TEXT: Final[Mapping[str, Callable[[Sequence[ObservedEdge]], Iterator[str]]]] = {
    "mermaid": mermaid,
    "svg": svg,
}
"""The forms that are lines of text, by name."""
