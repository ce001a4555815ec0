"""Pages from templates: what every page shows, and how times, ages and states are written."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from chassis import clock
from console.model import Counted
from console.web.session import Viewer
from guarantees.durations import lasting
from guarantees.protocol import SETTLED, STEPS

STATIC: Final = Path(__file__).parent / "static"
NAV: Final = (
    ("/", "Map"),
    ("/orders", "Orders"),
    ("/process", "Process"),
    ("/failures", "Failures"),
    ("/services", "Services"),
)
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing of a page comes from anywhere else, and no text in it can run."""
STYLES: Final = {
    **dict.fromkeys(STEPS[0].confirmed, ("good", "✓")),
    **dict.fromkeys(STEPS[0].cancelled, ("back", "✕")),
}
"""Of a state: its colour, and its sign for whoever does not see colours."""
IN_FLIGHT: Final = {"Pending": ("", "→"), "Cancelling": ("warn", "←")}


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("console.web"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "time": time_tag,
        "age": age,
        "lasting": lasting,
        "state": state_tag,
        "money": money,
        "ms": milliseconds,
        "short": short,
        "sentence": sentence,
        "number": lambda n: f"{n:,}",
    }
    return made


def time_tag(at: datetime | None) -> Markup | str:
    """In UTC, which the page's script writes in the browser's zone where that is asked for."""
    if at is None:
        return "-"
    text = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time class="nowrap" datetime="{}">{}</time>').format(at.isoformat(), text)


def age(at: datetime | None) -> str:
    """How long ago."""
    return "-" if at is None else lasting((clock.now() - at).total_seconds())


def state_tag(state: str) -> Markup:
    """A word, a sign and a colour."""
    style, sign = STYLES.get(state) or IN_FLIGHT.get(state, ("", "·"))
    return tag(state or "Unknown", style, sign)


def tag(text: str, style: str = "", sign: str = "·") -> Markup:
    return Markup('<span class="tag {}" data-sign="{}">{}</span>').format(style, sign, text)


def money(minor: int | None, currency: str) -> str:
    return "-" if minor is None else f"{minor / 100:,.2f} {currency}"


def milliseconds(ms: float | None) -> str:
    if ms is None:
        return "-"
    return f"{ms:,.0f} ms" if ms < 10_000 else lasting(ms / 1000)  # noqa: PLR2004 - as people say it


def sentence(text: str) -> str:
    """A text as it stands after a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def short(wire_type: str) -> str:
    """An event's name without its version."""
    name, _, version = wire_type.rpartition(".")
    return name if version.startswith("v") and version[1:].isdecimal() else wire_type


ENVIRONMENT: Final = _environment()
ENVIRONMENT.globals["tag"] = tag
ENVIRONMENT.globals["SETTLED"] = SETTLED


def page(
    request: Request,
    template: str,
    viewer: Viewer | None,
    status: int = 200,
    **values: Any,
) -> Response:
    """A page, or with `HX-Request` and a template that is a part (`_x.html`) that part alone."""
    frame = frame_of(request, viewer)
    text = ENVIRONMENT.get_template(template).render(**frame, **values)
    return HTMLResponse(text, status)


def frame_of(request: Request, viewer: Viewer | None) -> Mapping[str, Any]:
    """What the frame of each page needs."""
    theme, zone = request.cookies.get("theme", ""), request.cookies.get("zone", "")
    here = request.url.path
    return {
        "viewer": viewer,
        "nav": [(path, name, _is_at(here, path)) for path, name in NAV],
        "theme": theme if theme in {"light", "dark"} else "",
        "zone": "local" if zone == "local" else "utc",
        "capped": Counted,
        "clock_now": clock.now(),
    }


def _is_at(here: str, path: str) -> bool:
    return here == path if path == "/" else here.startswith(path)
