"""How long orders had to wait for a part that failed, as the log has it."""

from typing import Any

import pytest
from aiokafka import ConsumerRecord

from bench.pauses import FailureWindow, LoggedOrder, orders_of, pause_of

AT = 100.0
WINDOW = FailureWindow(AT - 2, AT, AT + 10, frozenset({0, 1}))


def a_logged_record(wire_type: str, key: str, seconds: int, partition: int = 0) -> Any:
    headers = (
        ("ce_type", wire_type.encode()),
        ("ce_time", f"2026-01-01T00:00:{seconds:02}+00:00".encode()),
    )
    at = (wire_type, partition, 0, 0, 0, key.encode(), b"{}", None, 0, 0, headers)
    return ConsumerRecord(*at)


def test_an_order_is_where_it_was_placed_and_settles_once() -> None:
    log = [
        a_logged_record("order.placed.v1", "a", 1, partition=4),
        a_logged_record("order.placed.v1", "b", 2),
        a_logged_record("order.confirmed.v1", "a", 5),
        a_logged_record("order.confirmed.v1", "a", 9),
        a_logged_record("order.customer_registered.v1", "c", 1),
    ]
    first, second = orders_of(log)
    assert (first.partition, second.partition) == (4, 0)
    assert first.settled is not None
    assert first.settled - first.placed == 4
    assert second.settled is None


def test_they_settle_again_when_each_partition_of_the_reader_that_died_does() -> None:
    """Orders from before are late too, but who takes over may find them done but for the last step."""
    orders = [
        LoggedOrder(0, AT - 1, AT + 0.1),
        LoggedOrder(0, AT + 1, AT + 3),
        LoggedOrder(0, AT + 2, AT + 2.5),
        LoggedOrder(1, AT + 1, AT + 4),
        LoggedOrder(1, AT + 5, AT + 5.5),
        LoggedOrder(2, AT + 1, AT + 9),
    ]
    assert pause_of(WINDOW, orders, ()).again_s == 4


def test_a_partition_on_which_nothing_settles_leaves_it_open() -> None:
    orders = [LoggedOrder(0, AT + 1, AT + 2), LoggedOrder(1, AT + 1, None)]
    found = pause_of(WINDOW, orders, ())
    assert (found.again_s, found.slowest_s) == (None, float("inf"))


def test_the_slowest_order_counts_there_and_elsewhere_within_the_window() -> None:
    orders = [
        LoggedOrder(0, AT - 1, AT + 4),
        LoggedOrder(1, AT + 1, AT + 2),
        LoggedOrder(3, AT + 1, AT + 1.5),
        LoggedOrder(3, AT - 3, AT + 90),
        LoggedOrder(0, AT + 11, AT + 99),
    ]
    found = pause_of(WINDOW, orders, ())
    assert (found.slowest_s, found.slowest_elsewhere_s) == (5, 0.5)


def test_a_relay_is_silent_for_the_longest_time_between_two_events_after_the_failure() -> None:
    published = [AT + 3, AT - 1.9, AT - 0.2, AT + 3.1, AT + 50]
    assert pause_of(WINDOW, [], published).silent_s == pytest.approx(3.2)
    assert pause_of(WINDOW, [], published[:1]).silent_s is None
