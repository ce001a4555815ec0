"""A console over values that are made up: its pages without a server."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

import httpx
from pydantic_core import from_json

from chassis import clock
from console import flow
from console.model import (
    Changes,
    ConsoleAction,
    Counted,
    EdgeKind,
    EdgeStanding,
    EventRow,
    Filter,
    FlowStanding,
    FoundId,
    FoundKind,
    GroupNote,
    OrderDetail,
    OrderRow,
    Page,
    ReaderState,
)
from console.process import COLUMNS, ProcessEvent, cases_of
from console.queries import Queries
from saga_cli.observed.cases import Case
from shared_events.catalog import CATALOG

AT: Final = clock.now().replace(microsecond=0)
"""The present: ages are counted from it."""
ORDER_ID: Final = "01a22480-a886-7034-9afd-07041092903f"
CUSTOMER: Final = "c_5a0f1c9b7e42d8"
STORY: Final = (
    ("order.placed.v1", 0, "PlaceOrder"),
    ("stock.reserved.v1", 15, 0),
    ("payment.capture_requested.v1", 26, 1),
    ("payment.captured.v1", 87, "CaptureSucceeded"),
    ("shipment.booking_requested.v1", 103, 3),
    ("shipment.created.v1", 160, "Booked"),
    ("points.rejected.v1", 172, 5),
    ("shipment.cancel_requested.v1", 180, 6),
)
"""Event, milliseconds after the first, and the number of the event or the message that led to it."""


def an_event(number: int, payload: Mapping[str, Any] | None = None) -> EventRow:
    wire_type, ms, cause = STORY[number]
    service = owner_of(wire_type)
    return EventRow(
        position=number + 1,
        id=id_of(number),
        order_id=ORDER_ID,
        type=wire_type,
        service=service,
        sequence=1 + sum(owner_of(each[0]) == service for each in STORY[:number]),
        time=AT + timedelta(milliseconds=ms),
        causation_id=id_of(cause) if isinstance(cause, int) else "outcome",
        causation_type=STORY[cause][0] if isinstance(cause, int) else cause,
        topic=f"{service}.forward",
        partition=3,
        offset=1000 + number,
        trace_id="",
        payload=payload or {"order_id": ORDER_ID},
    )


def owner_of(wire_type: str) -> str:
    return CATALOG.by_type[wire_type].owner


def id_of(number: int) -> str:
    return f"01a22480-0000-7000-8000-{number:012x}"


def an_order(number: int = 0, **changes: Any) -> OrderRow:
    made = OrderRow(
        id=f"{ORDER_ID[:-4]}{number:04x}" if number else ORDER_ID,
        state="Pending",
        step="payment",
        edges=("payment:Capture",),
        since=AT - timedelta(seconds=40 * number),
        placed_at=AT - timedelta(seconds=41 * number),
        settled_at=None,
        reason="",
        refused_by="",
        customer=CUSTOMER,
        total_minor=9899,
        currency="EUR",
        states={"order": "Pending", "inventory": "Reserved", "payment": "Capturing"},
        events=3,
        trace_id="",
    )
    return replace(made, **changes)


def a_detail() -> OrderDetail:
    order = {"order_id": ORDER_ID, "postal_code": "10115", "payment_token": "tok_visa"}
    payloads: Sequence[Mapping[str, Any]] = ({"order": order}, *([{"order_id": ORDER_ID}] * 7))
    events = tuple(an_event(number, payload) for number, payload in enumerate(payloads))
    causes = {
        id_of(n): id_of(cause if isinstance(cause, int) else n - 1) if n else ""
        for n, (_, _, cause) in enumerate(STORY)
    }
    path = (
        *("order.placed>inventory", "stock.reserved>payment", "payment:Capture"),
        *("payment.captured>shipping", "shipping:Book", "shipment.created>loyalty"),
        "points.rejected>shipping",
    )
    row = an_order(step="shipping", edges=("shipping:CancelBooking",), reason="customer_suspended")
    return OrderDetail(
        order=row,
        events=events,
        causes=causes,
        path=path,
        remaining=("shipment.cancelled.v1", "payment.refunded.v1", "stock.released.v1"),
    )


def a_standing(waiting: Mapping[str, int] | None = None) -> FlowStanding:
    """Where so many orders wait, by edge."""
    found = waiting or {}
    edges = tuple(
        EdgeStanding(
            edge,
            Counted(found.get(edge.id, 0)),
            AT - timedelta(seconds=found[edge.id]) if edge.id in found else None,
            rate=2.5 if edge.kind is EdgeKind.FORWARD else 0.0,
            median_ms=12.0,
            p99_ms=90.0,
        )
        for edge in flow.EDGES
    )
    states = {"Pending": Counted(sum(found.values())), "Confirmed": Counted(10_000, is_capped=True)}
    in_flight = Counted(sum(found.values()))
    return FlowStanding(edges, states, in_flight, AT - timedelta(minutes=7), AT, 42)


class SampleQueries:
    """As `console.queries.Queries` answers, whatever the limit; with the filters in `asked`."""

    def __init__(self, waiting: Mapping[str, int] | None = None, why: str = "") -> None:
        self.waiting, self.why = waiting, why
        self.asked: list[Filter] = []
        self.recorded: list[tuple[str, str, str, str]] = []
        self.rows = tuple(an_order(number) for number in range(12))
        self.changes: list[Changes] = []
        self.notes: dict[str, GroupNote] = {}

    async def standing(self) -> FlowStanding:
        return a_standing(self.waiting)

    async def at(self, instant: datetime) -> FlowStanding:
        return replace(a_standing(self.waiting), instant=instant)

    async def orders(self, wanted: Filter, cursor: str = "", limit: int = 50) -> Page[OrderRow]:
        self.asked.append(wanted)
        if cursor not in {"", "second"}:
            raise ValueError(cursor)
        return Page(self.rows[:limit], "" if cursor else "second")

    async def count(self, wanted: Filter, cap: int = 10_000) -> Counted:
        self.asked.append(wanted)
        return Counted(cap, is_capped=True)

    async def order(self, order_id: str) -> OrderDetail | None:
        return a_detail() if order_id == ORDER_ID else None

    async def find(self, text: str) -> tuple[FoundId, ...]:
        if text == ORDER_ID:
            return (FoundId(FoundKind.ORDER, text, text),)
        if text == CUSTOMER:
            return (FoundId(FoundKind.CUSTOMER, text),)
        return ()

    async def changes_since(self, position: int, _limit: int = 500) -> Changes:
        found = (each for each in self.changes if each.position > position)
        return next(found, Changes(position))

    async def process(self, wanted: Filter) -> list[Case]:
        """Of two orders alike, and one that is forged at its end."""
        self.asked.append(wanted)
        rows = [
            self._row(an_event(number), str(n)) for n in range(3) for number in range(len(STORY))
        ]
        rows[-1] = rows[-1]._replace(
            causation_type="", causation_id="nowhere", type="order.confirmed.v1"
        )
        return list(cases_of(rows))

    def _row(self, event: EventRow, which: str) -> ProcessEvent:
        values = {name: getattr(event, name) for name in COLUMNS.split(", ")}
        return ProcessEvent(
            **{**values, "id": UUID(event.id), "order_id": f"{ORDER_ID[:-1]}{which}"}
        )

    async def reasons(self, _limit: int = 100) -> tuple[str, ...]:
        return ("customer", "no stock")

    async def record(self, by: str, action: str, detail: str, note: str) -> None:
        self.recorded.append((by, action, detail, note))

    async def actions(self, _limit: int = 100) -> tuple[ConsoleAction, ...]:
        entries = (
            ("repair_ended", "redrive 01a2: done: 7 acted, 0 refused, 0 ignored of 7"),
            ("repair_begun", "redrive 01a2: 7 of payment, stock.reserved.v1"),
        )
        return tuple(
            ConsoleAction(AT, "anna", what, detail, "fixed in 1.4.2") for what, detail in entries
        )

    async def write_note(self, group: str, text: str, by: str) -> None:
        self.notes.pop(group, None)
        if text:
            self.notes[group] = GroupNote(text, by, AT)

    async def notes_on(self, groups: Iterable[str]) -> Mapping[str, GroupNote]:
        return {group: self.notes[group] for group in groups if group in self.notes}

    async def reader(self) -> ReaderState:
        return ReaderState(None if self.why else 0, AT, self.why)

    def as_queries(self) -> Queries:
        return cast("Queries", self)


def a_report(service: str, **changes: Any) -> dict[str, Any]:
    """What a service's `/ops/orders` answers."""
    return {
        "service": service,
        "state": "Absent",
        "outbox": {"rows": 0, "oldest_s": 0.0, "refused": ""},
        "relay": {"failing": ""},
        "consumer": {"ready": True, "lag": 0},
        "parked": [],
        "effects": [],
        "timers": [],
        "circuits": [],
        "actions": [],
        "resolutions": [],
        **changes,
    }


def an_effect(**changes: Any) -> dict[str, Any]:
    return {
        "id": "e1",
        "kind": "Capture",
        "attempt": 1,
        "tries": 4,
        "due_at": (AT + timedelta(seconds=20)).isoformat(),
        "owed_since": (AT - timedelta(seconds=90)).isoformat(),
        "last_error": "the bank answered 503",
        "needs_attention": False,
        "may_be_resolved_as": ["captured", "declined"],
        "with_reference": ["captured"],
        **changes,
    }


def a_head(number: int, error: str, **changes: Any) -> dict[str, Any]:
    """A key's first dead letter."""
    return {
        "id": f"letter-{number}",
        "key": f"{ORDER_ID[:-4]}{number:04x}",
        "type": "stock.reserved.v1",
        "topic": "inventory.forward",
        "partition": 3,
        "offset": number,
        "first_error": error,
        "last_error": error,
        "attempts": 3,
        "parked_at": (AT - timedelta(minutes=number)).isoformat(),
        "last_tried_at": (AT - timedelta(seconds=number)).isoformat(),
        "behind": number % 2,
        **changes,
    }


METRICS: Final = """\
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e+09
# TYPE saga_build_info gauge
saga_build_info{{service="{0}",version="0.3.0",python="3.11"}} 1.0
saga_consumer_lag_records{{service="{0}"}} 0.0
saga_consumer_lag_seconds{{service="{0}"}} 0.0
saga_outbox_rows{{service="{0}"}} 0.0
saga_outbox_oldest_seconds{{service="{0}"}} 0.0
saga_parked_keys{{service="{0}"}} {1}
saga_parked_messages{{service="{0}"}} {1}
"""
CIRCUIT: Final = 'saga_circuit_state{{service="payment",provider="bank"}} {0}\n'


class SampleServices:
    """The services' operators' routes; `acts` are what was asked for that changes something."""

    def __init__(self) -> None:
        self.heads = {"payment": [a_head(n, f"no such field: order {n}") for n in range(1, 8)]}
        self.silent: set[str] = set()
        self.acts: list[tuple[str, str, dict[str, Any]]] = []
        self.refused: set[str] = set()
        self.settled: dict[str, str] = {}
        """Keys whose calls are not resolved, and the code of the problem."""

    @property
    def urls(self) -> dict[str, list[str]]:
        return {name: [f"http://{name}:80"] for name in flow.NAMES}

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        service, path = request.url.host, request.url.path
        if service in self.silent:
            raise httpx.ConnectError("nobody listens")
        if request.method == "POST":
            return self.acted(service, path, from_json(request.content))
        if path == "/health/ready":
            return httpx.Response(200, json={"status": "ready", "reasons": []})
        if path == "/metrics":
            text = METRICS.format(service, len(self.heads.get(service, ())))
            text = text.replace("1.7e+09", str((AT - timedelta(hours=3)).timestamp()))
            more = CIRCUIT.format(2.0) if service == "payment" else ""
            return httpx.Response(200, text=text + more)
        if path == "/ops/dead-letters":
            heads = self.heads.get(service, [])
            offset = int(request.url.params["offset"])
            return httpx.Response(200, json={"keys": len(heads), "heads": heads[offset:]})
        return httpx.Response(200, json=self.report(service, request.url.params["key"]))

    def report(self, service: str, key: str) -> dict[str, Any]:
        if service == "payment":
            circuits = [{"provider": "bank", "state": "open", "why": "five calls failed"}]
            parked = [head for head in self.heads.get(service, ()) if head["key"] == key]
            more = {"effects": [an_effect()], "circuits": circuits, "parked": parked}
            return a_report(service, state="Capturing", **more)
        states = {"order": "Pending", "inventory": "Reserved"}
        return a_report(service, state=states.get(service, "Absent"))

    def acted(self, service: str, path: str, body: dict[str, Any]) -> httpx.Response:
        if not body.get("dry_run"):
            self.acts.append((service, path, body))
        if path == "/ops/resolve" and body["key"] in self.settled:
            problem = {"code": self.settled[body["key"]], "detail": "it is not"}
            return httpx.Response(409, json=problem)
        if path == "/ops/resolve":
            published = ["payment.captured.v1"]
            done = {"key": body["key"], "effect": "e1", "published": published}
            return httpx.Response(200, json=done)
        if path.endswith("/expedite"):
            return httpx.Response(200, json={"key": body["key"], "effects": 1})
        heads = self.heads.get(service, [])
        if not any(head["key"] == body["key"] for head in heads):
            return httpx.Response(404, json={"detail": f"nothing is parked under {body['key']!r}"})
        if body["key"] in self.refused:
            again = {"id": "x", "outcome": "parked", "reason": "still wrong", "published": []}
            return httpx.Response(200, json=[again])
        if not body.get("dry_run"):
            self.heads[service] = [head for head in heads if head["key"] != body["key"]]
        done = {"id": "x", "outcome": "decided", "reason": "", "published": []}
        return httpx.Response(200, json=[done] if path.endswith("/redrive") else heads[0])
