"""docs/flow.svg: the protocol as a picture, forward above and backward below."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from guarantees.protocol import CONFIRMED, STEPS

WIDTH: Final = 110
PITCH: Final = 255
TOP: Final = 70
HEIGHT: Final = 100
LEFT: Final = 20
FORWARD: Final = "#1a7f37"
BACK: Final = "#cf222e"
HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 230" font-family="sans-serif" role="img">
<title>An order passes all services forward, and is undone in reverse</title>
<!-- Made by `python -m tests.docs_pages` from guarantees/protocol.py; do not edit it by hand. -->
<rect width="100%" height="100%" fill="#ffffff"/>
<defs>{markers}</defs>
"""
MARKER: Final = (
    '<marker id="{id}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"'
    ' orient="auto"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
)


def flow_svg() -> str:
    width = LEFT * 2 + PITCH * (len(STEPS) - 1) + WIDTH
    ids = (("forward", FORWARD), ("back", BACK))
    markers = "".join(MARKER.format(id=name, colour=colour) for name, colour in ids)
    lines = [*_boxes(), *_arrows(), *_ends(width)]
    return HEAD.format(width=width, markers=markers) + "\n".join(lines) + "\n</svg>\n"


def _boxes() -> Iterator[str]:
    for n, step in enumerate(STEPS):
        x = LEFT + n * PITCH
        box = f'x="{x}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" rx="8"'
        yield f'<rect {box} fill="#f6f8fa" stroke="#57606a"/>'
        yield _text(x + WIDTH // 2, TOP + HEIGHT // 2 + 5, step.service, "#24292f", 16)


def _arrows() -> Iterator[str]:
    """Each service's event to the next one, and its compensation to the one before."""
    for n, (step, after) in enumerate(pairwise(STEPS)):
        start = LEFT + n * PITCH + WIDTH
        end = start + PITCH - WIDTH
        middle = (start + end) // 2
        yield _path(f"M{start} {TOP + 30}H{end}", "forward", FORWARD)
        yield _text(middle, TOP + 22, _short(step.forward), FORWARD)
        yield _path(f"M{end} {TOP + 70}H{start}", "back", BACK)
        yield _text(middle, TOP + 88, _short(after.back), BACK)


def _ends(width: int) -> Iterator[str]:
    """The last service's event goes to the first, which ends the order."""
    first, last = LEFT + WIDTH // 2, LEFT + PITCH * (len(STEPS) - 1) + WIDTH // 2
    yield _path(f"M{last} {TOP}V30H{first}V{TOP}", "forward", FORWARD)
    yield _text(width // 2, 22, _short(STEPS[-1].forward), FORWARD)
    below = TOP + HEIGHT
    confirmed, cancelled = _short(CONFIRMED), _short(STEPS[0].back)
    yield _text(LEFT, below + 25, f"ends CONFIRMED: {confirmed}", FORWARD, anchor="start")
    yield _text(LEFT, below + 45, f"or CANCELLED: {cancelled}", BACK, anchor="start")
    why = "a refusal, a deadline or the customer turns an order back from where it is"
    yield _text(width - LEFT, below + 45, why, "#57606a", anchor="end")


def _short(wire_type: str) -> str:
    return wire_type.removesuffix(".v1")


def _path(d: str, marker: str, colour: str) -> str:
    end = f'stroke="{colour}" stroke-width="2" marker-end="url(#{marker})"'
    return f'<path d="{d}" fill="none" {end}/>'


def _text(x: int, y: int, text: str, colour: str, size: int = 13, *, anchor: str = "middle") -> str:
    at = f'x="{x}" y="{y}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"'
    return f"<text {at}>{text}</text>"
