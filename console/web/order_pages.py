"""One order: who must act, its way over the map, its events, and what each service says of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response
from markupsafe import Markup

from chassis.http import Body, Problem, SagaKey, key_in_path, open_to, text
from console import flow
from console.model import Counted, EdgeStanding, EventRow, OrderDetail
from console.web import waterfall
from console.web.asking import now
from console.web.context import Console
from console.web.flow_map import Marks, drawn
from console.web.masking import Shown, masked
from console.web.rendering import page
from console.web.session import LOOK, REVEAL, viewer_of
from guarantees.diagnosis import diagnose

EDGES: Final = tuple(EdgeStanding(edge, Counted(0)) for edge in flow.EDGES)
"""Nobody is counted on the map of one order."""
OrderPath = Annotated[SagaKey, key_in_path("An order's id.")]


class Reveal(Body):
    """Why personal data have to be seen: it is recorded."""

    reason: Annotated[str, text(200, 3)]


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An event with its number, what led to it, and how long after that and after the first it came."""

    number: int
    row: EventRow
    cause: int
    is_direct: bool
    ms: float
    hop_ms: float | None
    payload: str
    masked: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Branch:
    """An event with those that it led to."""

    event: ShownEvent
    led_to: tuple["Branch", ...]


@dataclass(frozen=True, slots=True)
class ShownTrace:
    """A trace of the order, with the numbers of the events in it; `url` is "" without a viewer."""

    id: str
    numbers: tuple[int, ...]
    url: str


def add_order(app: FastAPI, console: Console) -> None:
    @app.get("/orders/{order_id}", include_in_schema=False)
    @open_to(LOOK)
    async def show_order(request: Request, order_id: OrderPath) -> Response:
        detail = await _known(console, order_id)
        values = {**_values(console, detail), "is_anew": False, "picture": _picture(detail)}
        return page(request, "order.html", viewer_of(request), **values)

    @app.get("/orders/{order_id}/parts", include_in_schema=False)
    @open_to(LOOK)
    async def show_order_again(request: Request, order_id: OrderPath) -> Response:
        detail = await _known(console, order_id)
        values = {**_values(console, detail), "is_anew": True, "picture": _picture(detail)}
        return page(request, "_order.html", viewer_of(request), **values)

    @app.get("/orders/{order_id}/services", include_in_schema=False)
    @open_to(LOOK)
    async def show_services(request: Request, order_id: OrderPath) -> Response:
        viewer = viewer_of(request)
        reports = await console.services.reports(order_id, viewer.token)
        found = diagnose(order_id, reports, now())
        values: dict[str, Any] = {"order_id": order_id, "reports": reports, "found": found}
        return page(request, "_services_of_order.html", viewer, **values)

    @app.post("/orders/{order_id}/reveal", include_in_schema=False)
    @open_to(REVEAL)
    async def reveal(request: Request, order_id: OrderPath, body: Reveal) -> Response:
        """The events with their personal data, which is recorded first."""
        viewer = viewer_of(request)
        detail = await _known(console, order_id)
        await console.record(viewer.name, "reveal", order_id, body.reason)
        values = _values(console, detail, personal=True)
        return page(request, "_events.html", viewer, **values)

    @app.get("/compare", include_in_schema=False)
    @open_to(LOOK)
    async def compare(
        request: Request,
        a: Annotated[SagaKey, Query()],
        b: Annotated[SagaKey, Query()],
    ) -> Response:
        both = [_values(console, await _known(console, each)) for each in (a, b)]
        return page(request, "compare.html", viewer_of(request), both=both)


async def _known(console: Console, order_id: str) -> OrderDetail:
    detail = await console.queries.order(order_id)
    if detail is None:
        why = (
            f"The log has no order {order_id}, the console has not read it yet, or has dropped it."
        )
        raise Problem(404, "not_found", why)
    return detail


def _picture(detail: OrderDetail) -> Markup:
    """Its way over the map: which edges it has passed, where it waits, what is to come."""
    ahead = [edge.id for edge in flow.EDGES if edge.event in detail.remaining]
    return drawn(EDGES, now(), marks=Marks(detail.path, detail.order.edges, ahead))


def _values(console: Console, detail: OrderDetail, *, personal: bool = False) -> Mapping[str, Any]:
    events = shown_events(detail, personal=personal)
    return {
        "order": detail.order,
        "position": max(event.position for event in detail.events),
        "events": events,
        "traces": traces_of(events, console.trace_url),
        "branches": branches(events),
        "waterfall": waterfall.drawn(detail.events, detail.causes),
        "remaining": detail.remaining,
        "is_revealed": personal,
        "hidden": sorted({path for event in events for path in event.masked}),
    }


def traces_of(events: Iterable[ShownEvent], page_url: str) -> tuple[ShownTrace, ...]:
    """The trace in which the order was placed first; a redrive later begins another."""
    found: dict[str, list[int]] = {}
    for event in events:
        if event.row.trace_id:
            found.setdefault(event.row.trace_id, []).append(event.number)
    return tuple(
        ShownTrace(id_, tuple(numbers), page_url.replace("{trace_id}", id_))
        for id_, numbers in found.items()
    )


def shown_events(detail: OrderDetail, *, personal: bool) -> tuple[ShownEvent, ...]:
    numbers = {event.id: n for n, event in enumerate(detail.events, 1)}
    return tuple(_shown(detail, numbers, event, personal=personal) for event in detail.events)


def _shown(
    detail: OrderDetail, numbers: Mapping[str, int], event: EventRow, *, personal: bool
) -> ShownEvent:
    cause_id = detail.causes.get(event.id, "")
    cause = numbers.get(cause_id, 0)
    payload: Shown = masked(event.type, dict(event.payload), personal=personal)
    since = detail.events[cause - 1] if cause else None
    return ShownEvent(
        numbers[event.id],
        event,
        cause,
        event.causation_id == cause_id,
        waterfall.milliseconds(event, detail.events[0]),
        waterfall.milliseconds(event, since) if since else None,
        json.dumps(payload.payload, indent=2, ensure_ascii=False),
        payload.masked,
    )


def branches(events: Sequence[ShownEvent]) -> tuple[Branch, ...]:
    """The tree of what led to what: an event without a known cause begins one."""

    def of(number: int) -> Iterator[Branch]:
        for event in events:
            if event.cause == number and event.number > number:
                yield Branch(event, tuple(of(event.number)))

    return tuple(of(0))
