"""The map, now or at an instant of the past, and the box that finds things by their ids."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Query, Request, Response
from starlette.responses import RedirectResponse

from chassis.events import identity_of
from chassis.http import Problem, open_to, text
from console.flow import STATE_AFTER
from console.model import EdgeKind, EdgeStanding, FlowStanding, FoundId, FoundKind
from console.web.asking import ServiceInstance, now
from console.web.context import Console
from console.web.filters import SERVICES, FilterError, parse, with_word
from console.web.flow_map import Notes, drawn
from console.web.rendering import page
from console.web.session import LOOK, viewer_of
from guarantees.protocol import SETTLED, STEPS

ROWS: Final = 12
FIRST_STATE: Final = STATE_AFTER[identity_of(STEPS[0].forward)]
InstantQuery = Annotated[
    str, text(40, 0), Query(description="A time, in UTC unless it has a zone.")
]
FindQuery = Annotated[str, text(300, 0), Query()]


def add_map(app: FastAPI, console: Console) -> None:
    @app.get("/", include_in_schema=False)
    @open_to(LOOK)
    async def show_map(request: Request, at: InstantQuery = "") -> Response:
        return page(request, "map.html", viewer_of(request), **await _map(console, at))

    @app.get("/map", include_in_schema=False)
    @open_to(LOOK)
    async def show_map_again(request: Request, at: InstantQuery = "") -> Response:
        return page(request, "_map.html", viewer_of(request), **await _map(console, at))

    @app.get("/find", include_in_schema=False)
    @open_to(LOOK)
    async def find(request: Request, q: FindQuery = "") -> Response:
        asked = q.strip()
        if ":" in asked and _is_filter(asked):
            return RedirectResponse(f"/orders?filter={quote(asked)}", 303)
        found = await console.queries.find(asked) if asked else ()
        if len(found) == 1:
            return RedirectResponse(address_of(found[0]), 303)
        links = [(each, address_of(each)) for each in found]
        return page(request, "find.html", viewer_of(request), asked=asked, found=links)


async def _map(console: Console, at: str) -> Mapping[str, Any]:
    instant = _instant(at) if at else None
    if instant is None:
        instances = await console.services.instances()  # first: it takes longer
        standing = await console.queries.standing()
    else:
        standing, instances = await console.queries.at(instant), ()
    moment = standing.instant or now()
    return {
        "at": at,
        "standing": standing,
        "states": sorted(standing.states.items(), key=lambda each: _place(each[0])),
        "moment": moment,
        "reader": await console.queries.reader(),
        "picture": drawn(standing.edges, moment, notes_of(instances)),
        "waiting": waiting_most(standing),
        "instances": instances,
        "parked": sum(parked_keys(instances).values()),
        "broken": broken_circuits(instances),
        "silent": silent_services(instances),
    }


def _place(state: str) -> tuple[bool, str]:
    """States on the way first, that which orders begin with before the other."""
    return state in SETTLED, "" if state == FIRST_STATE else state


def waiting_most(standing: FlowStanding) -> list[EdgeStanding]:
    """Edges on which orders wait, that of the longest wait first; timers last, as nobody has to act."""
    held = [each for each in standing.edges if each.waiting.number]
    late = datetime.max.replace(tzinfo=UTC)
    held.sort(key=lambda s: (s.edge.kind is EdgeKind.TIMER, s.oldest_since or late))
    return held[:ROWS]


def parked_keys(instances: Iterable[ServiceInstance]) -> Mapping[str, int]:
    """By service; its instances share a store, and say the same."""
    found = dict.fromkeys(SERVICES, 0)
    for each in instances:
        found[each.service] = max(found[each.service], each.parked_keys)
    return found


def broken_circuits(instances: Iterable[ServiceInstance]) -> list[tuple[str, str, str]]:
    """Service, provider and state."""
    return [
        (each.service, provider, state)
        for each in instances
        for provider, state in each.circuits.items()
        if state != "closed"
    ]


def silent_services(instances: Iterable[ServiceInstance]) -> list[str]:
    """Those of which no instance answers."""
    known = tuple(instances)
    answer = {each.service for each in known if not each.silent}
    return [name for name in SERVICES if known and name not in answer]


def notes_of(instances: Iterable[ServiceInstance]) -> Mapping[str, Notes]:
    """What a service's box on the map says beside its name."""
    known = tuple(instances)
    parked = parked_keys(known)
    lines: dict[str, list[str]] = {name: [] for name in SERVICES}
    for name in silent_services(known):
        lines[name].append("no answer")
    for service, provider, state in broken_circuits(known):
        lines[service].append(f"circuit {state}: {provider}")
    for name, count in parked.items():
        if count:
            lines[name].append(f"{count:,} parked")
    return {name: Notes(tuple(dict.fromkeys(found))) for name, found in lines.items()}


def address_of(found: FoundId) -> str:
    """The page of what an id stands for."""
    if found.kind is FoundKind.CUSTOMER:
        return f"/orders?filter={quote(with_word('', 'customer', found.id))}"
    at = f"#e-{found.id}" if found.kind is FoundKind.EVENT else ""
    return f"/orders/{quote(found.order_id)}{at}"


def _is_filter(asked: str) -> bool:
    try:
        parse(asked)
    except FilterError:
        return False
    return True


def _instant(at: str) -> datetime:
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        raise Problem(422, "no_instant", f"{at!r} is no time such as 2026-11-29T10:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
