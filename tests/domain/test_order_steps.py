"""What a front end gets of an order's steps: the state after each, and which is the last."""

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, Final, cast

import httpx
import pytest
from pydantic_core import from_json

from chassis.http import StreamStep
from chassis.http.app import make_app
from chassis.postgres import PostgresStore
from order_svc.customers import Pseudonyms
from order_svc.domain import Cancelled, Cancelling, Confirmed, Pending, State, evolve
from order_svc.following import Timelines, add_example
from order_svc.resources import STATES, state_after
from shared_events.catalog import CATALOG
from tests.domain.builders import PLACED_AT, an_order
from tests.support.callers import open_gate

PLACED: Final = ("PlaceOrder", "order.placed.v1")
ASKED: Final = ("CancelOrder", "order.cancellation_requested.v1")
DONE: Final = ("points.awarded.v1", "order.confirmed.v1")
UNDONE: Final = ("stock.released.v1", "order.cancelled.v1")
PLACED_ORDER: Final = an_order()
ORDER: Final = PLACED_ORDER.order_id
PENDING: Final = Pending(order=PLACED_ORDER)
CANCELLING: Final = Cancelling(order=PLACED_ORDER)
CONFIRMED: Final = Confirmed(order=PLACED_ORDER)
CANCELLED: Final = Cancelled(
    order=PLACED_ORDER, reason="customer", refused_by="", refunded_minor=0, fee_minor=0
)


class Database:
    """Has the timeline of one order, and its state."""

    def __init__(self, state: Any, *rows: tuple[str, str]) -> None:
        self.rows, self.own = rows, self
        self.state = state

    @asynccontextmanager
    async def reading(self) -> Any:
        yield self

    async def fetch(self, _query: str, _order_id: str, offset: int) -> list[dict[str, Any]]:
        kept = (
            {"at": PLACED_AT, "cause": cause, "published": published}
            for cause, published in self.rows
        )
        return list(kept)[offset:]

    async def load(self, _connection: Any, order_ids: list[str]) -> dict[str, Any]:
        return dict.fromkeys(order_ids, SimpleNamespace(state=self.state))

    async def customer_of(self, pseudonym: str) -> str:
        return f"whom {pseudonym} stands for"


async def steps(database: Database, sent: int = 0) -> StreamStep:
    timelines = Timelines(cast("PostgresStore", database), cast("Pseudonyms", database))
    return await timelines.after(ORDER, sent)


def states_in(step: StreamStep) -> list[tuple[int, str, str]]:
    return [(event.id, event.name, from_json(event.data)["state"]) for event in step.events]


@pytest.mark.parametrize("name", STATES)
def test_the_state_after_an_event_is_what_the_rules_make_of_it(name: str) -> None:
    entry = next(entry for entry in CATALOG.entries if entry.name == name)
    fields = {"order_id": ORDER, "reason": "customer", "refused_by": "", "order": PLACED_ORDER}
    event = entry.event(**{f: fields[f] for f in entry.event.__dataclass_fields__ if f in fields})
    after = evolve(State(PENDING, {}), event)
    assert state_after(entry.wire_types[0]) == type(after.order).__name__.upper()


def test_what_changes_no_state_says_none() -> None:
    assert state_after("product.priced.v1") == ""
    assert state_after("order.placed.v1, order.payment_details_given.v1") == "PENDING"


async def test_an_order_that_is_open_has_steps_and_no_last_one() -> None:
    step = await steps(Database(CANCELLING, PLACED, ASKED))
    assert states_in(step) == [(1, "step", "PENDING"), (2, "step", "CANCELLING")]
    assert not step.is_last
    assert from_json(step.events[0].data)["cause"] == "PlaceOrder"


async def test_the_last_step_of_a_settled_order_has_the_order_and_its_customer() -> None:
    step = await steps(Database(CONFIRMED, PLACED, DONE))
    assert states_in(step) == [(1, "step", "PENDING"), (2, "settled", "CONFIRMED")]
    assert step.is_last
    order = from_json(step.events[-1].data)["order"]
    assert (order["state"], order["customer_id"].split()[0]) == ("CONFIRMED", "whom")


@pytest.mark.parametrize(
    ("state", "rows"),
    [
        (CANCELLED, (PLACED, DONE)),
        (CONFIRMED, (PLACED,)),
        (CANCELLING, (PLACED, DONE)),
    ],
    ids=["settled otherwise by now", "settled by a step to come", "cancelled by a step to come"],
)
async def test_a_state_that_the_steps_have_not_reached_ends_nothing(
    state: Any, rows: tuple[tuple[str, str], ...]
) -> None:
    step = await steps(Database(state, *rows))
    assert not step.is_last
    assert {name for _, name, _ in states_in(step)} == {"step"}


async def test_a_client_gets_what_follows_its_last_event_and_all_of_it_after_an_unknown_one() -> (
    None
):
    database = Database(CANCELLED, PLACED, ASKED, UNDONE)
    assert states_in(await steps(database, 2)) == [(3, "settled", "CANCELLED")]
    assert await steps(database, 3) == StreamStep((), is_last=True)
    assert [number for number, *_ in states_in(await steps(database, 9))] == [1, 2, 3]


async def test_the_example_page_is_served_where_it_is_asked_for_and_in_no_document() -> None:
    app = make_app("order", _nothing_fails, open_gate())
    add_example(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://order") as client:
        page = await client.get("/example")
    assert page.headers["content-type"].startswith("text/html")
    assert "/example" not in app.openapi()["paths"]


async def _nothing_fails() -> tuple[()]:
    return ()
