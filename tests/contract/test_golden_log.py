"""Whole logs of past releases still add up to what their services had stored."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from chassis.events import Envelope
from chassis.service import Service
from shared_events.catalog import CATALOG
from simulation.plan import Plan
from tests.contract import golden_log
from tests.contract.golden_log import SERVICES, GoldenRun, State, replayed
from tests.contract.test_wire import without_additions
from tests.support.vocabulary import known, next_versions

FIRST: Final = "0.2.0-alpha"
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())


def differences(run: GoldenRun, service: Service) -> dict[tuple[str, str], Any]:
    """What is not as it was then, but for fields that were added since."""
    after, rows = replayed(service, run.published[service.name])
    then, now = run.stored[service.name], after | rows
    return {
        row: (then.get(row), now.get(row))
        for row in then.keys() | now.keys()
        if row not in then or row not in now or not _equal(now[row], then[row])
    }


def _equal(now: State, then: State) -> bool:
    return now[0] == then[0] and without_additions(now[1], then[1]) == then[1]


@each_service
@pytest.mark.parametrize("name", golden_log.names())
def test_a_golden_log_adds_up_to_what_was_stored(name: str, service: Service) -> None:
    runs = golden_log.runs_of(name)
    assert [differences(run, service) for run in runs] == [{}] * len(runs)
    has_state = any(run.stored[service.name] for run in runs)
    assert has_state == any(run.published[service.name] for run in runs)  # not if it is newer


@each_service
def test_it_adds_up_when_each_event_has_a_newer_version(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole log goes through upcasters then, and says what it said."""
    runs = golden_log.runs_of(FIRST)  # before there are newer versions: they are kept
    known(monkeypatch, next_versions())
    for before, again in zip(runs, golden_log.read(FIRST), strict=True):
        assert again.published == before.published
        assert differences(again, service) == {}


def endings(run: GoldenRun) -> set[tuple[str, ...]]:
    """How its orders ended: the state, and why and by whom they were cancelled."""
    return {
        (state, *(detail[name] for name in ("reason", "refused_by") if name in detail))
        for (kind, _), (state, detail) in run.stored["order"].items()
        if kind == "own"
    }


def test_the_log_holds_orders_of_every_kind() -> None:
    found = set().union(*map(endings, golden_log.runs_of(FIRST)))
    assert found >= {
        ("Confirmed",),
        ("Cancelled", "card_declined", "payment"),
        ("Cancelled", "carrier_refused", "shipping"),
        ("Cancelled", "customer", "loyalty"),
        ("Cancelled", "customer", "order"),
        ("Cancelled", "customer", "payment"),
        ("Cancelled", "customer", "shipping"),
        ("Cancelled", "customer_suspended", "loyalty"),
        ("Cancelled", "deadline_exceeded", "inventory"),
        ("Cancelled", "deadline_exceeded", "payment"),
        ("Cancelled", "deadline_exceeded", "shipping"),
        ("Cancelled", "out_of_stock", "inventory"),
        ("Cancelled", "undeliverable_country", "shipping"),
    }
    assert sum(len(run.published["order"]) for run in golden_log.runs_of(FIRST)) > 700


def all_events() -> list[Envelope]:
    runs = golden_log.runs_of(FIRST)
    return [envelope for run in runs for log in run.published.values() for envelope in log]


def test_the_log_holds_refusals_fees_repeats_and_later_attempts() -> None:
    events = all_events()
    types = {envelope.type for envelope in events}
    assert types >= {
        "order.cancellation_refused.v1",
        "shipment.cancellation_refused.v1",
        "payment.refund_refused.v1",
        "customer.reinstated.v1",
    }
    assert {getattr(e.event, "attempt", 1) for e in events} >= {1, 2}
    assert any(getattr(e.event, "fee_minor", 0) > 0 for e in events)
    assert max(Counter(e.id for e in golden_log.runs_of(FIRST)[0].published["order"]).values()) > 1


def test_a_fold_that_overlooks_an_event_is_noticed() -> None:
    """One whose evolve was changed: it differs, or fails."""
    kinds = {type(envelope.event) for envelope in all_events()}
    assert [kind.__name__ for kind in kinds if not _is_noticed_without(kind)] == []
    assert len(kinds) > 30


def _is_noticed_without(kind: type[Any]) -> bool:
    """Whether a fold that overlooks events of this kind differs somewhere."""
    service = SERVICES[CATALOG.by_event[kind].owner]

    def overlooking(state: Any, event: Any) -> Any:
        return state if isinstance(event, kind) else service.evolve(state, event)

    changed = replace(service, evolve=overlooking)
    return any(_noticed(run, changed) for run in golden_log.runs_of(FIRST))


def _noticed(run: GoldenRun, service: Service) -> bool:
    try:
        return differences(run, service) != {}
    except AssertionError:
        return True


def test_a_log_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden_log, "FOLDER", tmp_path)
    path = golden_log.write("tiny", [Plan(5, 3)])
    first = path.read_bytes()
    (run,) = golden_log.read("tiny")
    assert sum(kind == "own" for kind, _ in run.stored["order"]) == 3
    assert differences(run, SERVICES["order"]) == {}
    assert golden_log.main(["tiny"]) == 2
    assert golden_log.main([]) == 2
    assert path.read_bytes() == first
