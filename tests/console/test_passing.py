"""How fast orders pass the edges."""

from datetime import UTC, datetime, timedelta

from console.passing import Passed, Passing, passing_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def reserved(seconds_ago: float, after_ms: float) -> Passed:
    at = NOW - timedelta(seconds=seconds_ago)
    began = at - timedelta(milliseconds=after_ms)
    return Passed("inventory", at, "order.placed.v1", "order.placed.v1", began, None)


def test_a_hop_takes_from_its_event_to_what_was_decided_on_it() -> None:
    sample = [reserved(1, ms) for ms in (10, 20, 30)]
    found = passing_of(sample, NOW, is_complete=True)
    assert found == {"order.placed>inventory": Passing(3 / 60, 20, 30)}


def test_a_call_takes_from_its_intent_to_what_its_outcome_led_to() -> None:
    own = NOW - timedelta(milliseconds=250)
    captured = Passed("payment", NOW, "CaptureSucceeded", "", None, own)
    assert passing_of([captured], NOW, is_complete=True)["payment:Capture"].median_ms == 250


def test_what_is_longer_ago_than_a_minute_is_no_rate() -> None:
    found = passing_of([reserved(90, 10)], NOW, is_complete=True)["order.placed>inventory"]
    assert (found.rate, found.median_ms) == (0, 10)


def test_a_sample_of_the_newest_events_counts_as_long_as_it_reaches_back() -> None:
    found = passing_of([reserved(10, 5), reserved(2, 5)], NOW, is_complete=False)
    assert found["order.placed>inventory"].rate == 2 / 10


def test_a_clock_that_is_ahead_makes_no_time_negative() -> None:
    found = passing_of([reserved(1, -5)], NOW, is_complete=True)
    assert found["order.placed>inventory"].median_ms == 0


def test_an_event_that_passed_no_edge_counts_nowhere() -> None:
    placed = Passed("order", NOW, "PlaceOrder", "", None, None)
    assert passing_of([placed], NOW, is_complete=True) == {}
