"""The judge of the fault tests is judged: books that break a guarantee are found out, each by its name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chassis.events import Envelope, event_id
from guarantees import judge
from guarantees.judge import Books, StoredRow
from guarantees.protocol import STEPS
from saga_cli.log.reader import LogEvent
from shared_events.catalog import CATALOG
from tests.domain.builders import (
    IN_TIME,
    awarded,
    captured,
    committed,
    deducted,
    order_cancelled,
    placed,
    refunded,
    released,
    reserved,
    shipment_cancelled,
    shipment_created,
)
from tests.support.records import TRACE

BACKWARD = (deducted(), shipment_cancelled(), refunded(), released(), order_cancelled())
CONFIRMED = Books(
    rows={step.service: {"o-1": StoredRow(min(step.confirmed), {})} for step in STEPS}
    | {
        "order": {"o-1": StoredRow("Confirmed", {"order": {"total_minor": 3000}})},
        "inventory": {"o-1": StoredRow("Committed", {"lines": [{"sku": "CUP", "quantity": 2}]})},
        "payment": {"o-1": StoredRow("Captured", {"captured_minor": 3000})},
        "loyalty": {"o-1": StoredRow("Awarded", {"customer_id": "c-1", "points": 30})},
    },
    customers={"c-1": 30},
    stock={"CUP": {"available": 8, "reserved": 0, "committed": 2, "shipped": 0, "returned": 0}},
)


def logged(event: Any, number: int, sequence: int) -> LogEvent:
    entry = CATALOG.entry_of(event)
    envelope = Envelope(
        id=event_id("o-1", entry.wire_type, 1),
        type=entry.wire_type,
        source=f"/{entry.owner}",
        subject="o-1",
        time=IN_TIME + timedelta(seconds=number),
        sequence=sequence,
        saga_id="o-1",
        causation_id="test",
        traceparent=TRACE,
        event=event,
    )
    return LogEvent(entry.topic, 0, number, envelope)


def history(*events: Any) -> list[LogEvent]:
    return [logged(event, number, number + 1) for number, event in enumerate(events)]


def changed(rows: Mapping[str, dict[str, StoredRow]], **more: Any) -> Books:
    """The books of the confirmed order, with other rows of some services."""
    return replace(CONFIRMED, rows={**CONFIRMED.rows, **rows}, **more)


def guarantees(problems: Sequence[str]) -> set[str]:
    return {problem.split()[0] for problem in problems}


def test_books_of_a_confirmed_order_agree() -> None:
    assert judge.of_order(CONFIRMED, "o-1", CONFIRMED.row("order", "o-1")) == []
    assert judge.of_stock(CONFIRMED) == []
    assert judge.of_points(CONFIRMED) == []


@pytest.mark.parametrize(
    ("changes", "guarantee"),
    [
        ({"order": {"o-1": StoredRow("Pending", {})}}, "G1"),
        ({"order": {"o-1": StoredRow("Cancelling", {})}}, "G1"),
        ({"inventory": {}}, "G2"),
        ({"payment": {"o-1": StoredRow("Refunded", {"captured_minor": 3000})}}, "G2"),
        ({"payment": {"o-1": StoredRow("Captured", {"captured_minor": 2999})}}, "G2"),
        ({"shipping": {"o-1": StoredRow("Cancelled", {})}}, "G2"),
        ({"loyalty": {}}, "G2"),
    ],
)
def test_an_order_that_is_open_or_half_done_is_noticed(
    changes: dict[str, dict[str, StoredRow]], guarantee: str
) -> None:
    books = changed(changes)
    problems = judge.of_order(books, "o-1", books.row("order", "o-1"))
    assert guarantees(problems) == {guarantee}


@pytest.mark.parametrize("held", [step.service for step in STEPS[1:]])
def test_a_cancelled_order_that_holds_something_is_noticed(held: str) -> None:
    books = Books({**Books().rows, held: CONFIRMED.rows[held]})
    problems = judge.of_order(books, "o-1", StoredRow("Cancelled", {}))
    assert guarantees(problems) == {"G2"}


def test_a_refund_that_is_not_what_was_captured_is_noticed() -> None:
    detail = {"captured": {"captured_minor": 3000}, "refunded_minor": 2900, "fee_minor": 99}
    books = Books({**Books().rows, "payment": {"o-1": StoredRow("Refunded", detail)}})
    (problem,) = judge.of_order(books, "o-1", StoredRow("Cancelled", {}))
    assert problem.startswith("G2 cancelled, but refund and fee")


def test_compensations_in_reverse_order_are_right_and_in_any_other_are_noticed() -> None:
    assert judge.of_history(history(*BACKWARD)) == []
    for number in range(4):
        swapped = [*BACKWARD]
        swapped[number : number + 2] = reversed(swapped[number : number + 2])
        assert guarantees(judge.of_history(history(*swapped))) == {"G3"}


@pytest.mark.parametrize("done", [reserved(), captured(), shipment_created(), awarded()])
def test_an_end_before_everything_is_undone_is_noticed(done: Any) -> None:
    assert guarantees(judge.of_history(history(done, order_cancelled()))) == {"G3"}


@pytest.mark.parametrize("event", [placed(), reserved(), captured(), committed(), refunded()])
def test_an_event_that_happened_twice_is_noticed(event: Any) -> None:
    assert "G4" in guarantees(judge.of_history(history(event, event)))


@pytest.mark.parametrize(
    ("status", "level"),
    [
        ("Committed", {"reserved": 1}),
        ("Committed", {"committed": 1}),
        ("Committed", {"available": -1}),
        ("Committed", {"shipped": 1}),
        ("Shipped", {"committed": 2}),
        ("Shipped", {"committed": 0, "shipped": 1}),
        ("Shipped", {"committed": 0, "shipped": 2, "returned": 1}),
        ("Shipped", {"committed": 0, "shipped": -1, "returned": 3}),
    ],
)
def test_stock_that_is_not_what_the_reservations_say_is_noticed(
    status: str, level: dict[str, int]
) -> None:
    stock: dict[str, Mapping[str, int]] = {"CUP": {**CONFIRMED.stock["CUP"], **level}}
    reservation = replace(CONFIRMED.row("inventory", "o-1"), status=status)
    books = changed({"inventory": {"o-1": reservation}}, stock=stock)
    assert guarantees(judge.of_stock(books)) == {"G6"}


@pytest.mark.parametrize("shipped", [2, 1, 0])
def test_what_has_left_and_came_back_accounts_for_itself(shipped: int) -> None:
    level = {"available": 8, "reserved": 0, "committed": 0}
    level |= {"shipped": shipped, "returned": 2 - shipped}
    reservation = replace(CONFIRMED.row("inventory", "o-1"), status="Shipped")
    rows = {"inventory": {"o-1": reservation}}
    gone = changed(rows, stock={"CUP": level})
    assert judge.of_stock(gone) == []
    assert guarantees(judge.of_order(gone, "o-1", gone.row("order", "o-1"))) == {"G2"}
    left = changed(rows | {"shipping": {"o-1": StoredRow("Dispatched", {})}}, stock={"CUP": level})
    assert judge.of_order(left, "o-1", left.row("order", "o-1")) == []


@pytest.mark.parametrize("customers", [{}, {"c-1": 60}, {"c-1": 30, "c-2": 1}])
def test_points_that_no_award_explains_are_noticed(customers: dict[str, int]) -> None:
    assert guarantees(judge.of_points(replace(CONFIRMED, customers=customers))) == {"G2"}


@pytest.mark.parametrize(
    ("sequences", "broken"),
    [
        ((1, 2, 3), set()),
        ((1, 2, 2, 1, 3), set()),  # published again: nothing is missing before what comes later
        ((1, 3, 2), {"G7"}),
        ((2, 1), {"G7"}),
        ((1, 2, 4), {"G7"}),
    ],
)
def test_events_out_of_the_order_of_decision_are_noticed(
    sequences: tuple[int, ...], broken: set[str]
) -> None:
    found = [logged(reserved(), n, sequence) for n, sequence in enumerate(sequences)]
    assert guarantees(judge.of_sequences(found)) == broken


@pytest.mark.parametrize(
    ("forward", "facts", "broken"),
    [
        ((1, 3), (2, 4), set()),
        ((3,), (1, 2), set()),
        ((1, 3, 1), (2, 2), set()),  # published again
        ((1, 3), (4,), {"G7"}),
        ((3, 1), (2,), {"G7"}),
        ((1, 2), (4, 3), {"G7"}),
    ],
)
def test_a_number_is_missing_where_no_lane_has_it_and_late_where_its_own_lane_went_on(
    forward: tuple[int, ...], facts: tuple[int, ...], broken: set[str]
) -> None:
    """Of two lanes either may be read first."""
    first = [logged(reserved(), n, sequence) for n, sequence in enumerate(forward)]
    others = [logged(committed(), n, sequence) for n, sequence in enumerate(facts)]
    for found in (first + others, others + first):
        assert guarantees(judge.of_sequences(found)) == broken


def test_of_two_partitions_of_a_topic_that_has_grown_neither_is_before_the_other() -> None:
    before = [logged(reserved(), n, sequence) for n, sequence in enumerate((1, 2))]
    after = [replace(logged(reserved(), 0, 3), partition=4)]
    for found in (before + after, after + before):
        assert judge.of_sequences(found) == []
    assert guarantees(judge.of_sequences(after + before[1:] + before[:1])) == {"G7"}


def test_numbers_of_another_owner_fill_no_gap() -> None:
    found = [logged(reserved(), 0, 1), logged(reserved(), 1, 3), logged(captured(), 0, 2)]
    assert guarantees(judge.of_sequences(found)) == {"G7"}
