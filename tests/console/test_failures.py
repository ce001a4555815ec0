"""Failures in groups, and their repair as a job, against the services' routes as they answer."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from chassis.errors import TransientError
from console.web.asking import ServiceDirectory, ServiceInstance, measured, versions
from console.web.failures import Failure, RepairKind, grouped, report
from console.web.repairs import Repair, Repairs, RepairTerms
from tests.support.console_sample import (
    AT,
    CIRCUIT,
    METRICS,
    SampleQueries,
    SampleServices,
    a_head,
)
from tests.support.waiting import until_async

QUICK: Final = RepairTerms(500)


def a_failure(number: int = 1, **changes: Any) -> Failure:
    made = Failure(
        "payment", "parked", "stock.reserved.v1", f"no field {number}", f"o-{number}", AT, AT
    )
    return replace(made, **changes)


def test_errors_that_differ_in_numbers_and_ids_alone_are_one_group() -> None:
    one, two = a_failure(1), a_failure(2)
    id_ = "order 01a22480-a886-7034-9afd-07041092903f at 0xFF"
    three = a_failure(3, error=id_)
    four = a_failure(4, error=id_.replace("2903f", "2aaaa").replace("FF", "1a"))
    groups = grouped([one, three, two, four])
    assert [group.failures for group in groups] in (
        [(one, two), (three, four)],
        [(three, four), (one, two)],
    )


@pytest.mark.parametrize(
    "changes",
    [{"service": "order"}, {"kind": "retried"}, {"event": "order.placed.v1"}, {"error": "other"}],
)
def test_groups_are_by_service_kind_event_and_error(changes: dict[str, Any]) -> None:
    assert len(grouped([a_failure(), a_failure(**changes)])) == 2


def test_a_group_begins_with_the_oldest_and_counts_messages() -> None:
    queries, services = SampleQueries(), SampleServices()
    found = asyncio.run(report(queries.as_queries(), directory(services), "anna"))
    (group,) = found.groups
    assert len(group.failures) == 7
    assert group.messages == 7 + 4
    assert group.failures[0].first == min(failure.first for failure in group.failures)
    assert group.actions == ("redrive", "discard")
    assert len(group.examples) == 5


def directory(services: SampleServices) -> ServiceDirectory:
    return ServiceDirectory(services.urls, services.transport)


async def test_calls_that_are_retried_are_found_by_the_orders_that_wait_for_them() -> None:
    queries, services = SampleQueries({"payment:Capture": 30}), SampleServices()
    services.heads.clear()
    found = await report(queries.as_queries(), directory(services), "anna")
    (group,) = found.groups
    assert (group.newest.kind, group.newest.event, group.newest.error) == (
        "retried",
        "Capture",
        "the bank answered 503",
    )
    assert group.actions == ("expedite", "resolve")
    assert found.sampled == {"payment": "12 of 30 that wait for Capture"}


async def test_no_answer_is_an_answer() -> None:
    services = SampleServices()
    services.silent = {"payment"}
    found = await report(SampleQueries().as_queries(), directory(services), "anna")
    assert found.groups == ()
    assert found.silent == {"payment": "payment does not answer"}
    instances = {each.service: each.silent for each in await directory(services).instances()}
    assert instances["payment"] == "no answer"
    assert instances["order"] == ""


def test_metrics_say_version_lag_outbox_and_circuits() -> None:
    text = METRICS.format("payment", 3) + CIRCUIT.format(2.0)
    found = measured(
        ServiceInstance("payment", "http://p"), text.replace("lag_records{{", "lag_records{")
    )
    assert (found.version, found.lag, found.parked_keys) == ("0.3.0", 0, 3)
    assert found.since == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found.circuits == {"bank": "open"}
    unknown = text.replace(
        'lag_records{service="payment"} 0.0', 'lag_records{service="payment"} NaN'
    )
    assert measured(ServiceInstance("payment", "http://p"), unknown).lag is None


def test_a_service_of_two_versions_is_being_deployed() -> None:
    instances = [
        ServiceInstance(service, f"http://{n}", version=version)
        for n, (service, version) in enumerate(
            [("order", "0.3.0"), ("order", "0.4.0"), ("order", ""), ("payment", "0.3.0")]
        )
    ]
    assert versions(instances) == {"order": ["0.3.0", "0.4.0"], "payment": ["0.3.0"]}


# Repairs


def repairs_of(services: SampleServices, trail: list[tuple[str, ...]] | None = None) -> Repairs:
    """With what is recorded in `trail`."""

    async def record(*entry: str) -> None:
        if trail is not None:
            trail.append(entry)

    return Repairs(directory(services), record)


def some_of(services: SampleServices) -> list[Failure]:
    return [a_failure(key=head["key"], head=head["id"]) for head in services.heads["payment"]]


async def finished(job: Repair) -> None:
    await until_async(lambda: job.ended_at, 10, "the job's end")


async def test_a_repair_acts_on_each_once_and_counts_what_became_of_it() -> None:
    services = SampleServices()
    repairs = repairs_of(services)
    failures = some_of(services)
    services.refused = {failures[2].key}
    plan = repairs.plan("redrive", "fixed", "anna", [*failures, a_failure(9, key="gone")])
    job = await repairs.start(plan.id, QUICK, "anna", "token")
    assert job is not None
    await finished(job)
    assert (job.state, dict(job.counts)) == ("done", {"acted": 6, "refused": 1, "ignored": 1})
    assert "refused: parked again: still wrong" in job.reasons
    assert any("nothing is parked" in why for why in job.reasons)
    asked = [(path, body["note"]) for _, path, body in services.acts]
    assert asked == [("/ops/dead-letters/redrive", "fixed")] * 8


def calls(number: int) -> list[Failure]:
    both = {"resolvable": ("captured", "declined"), "with_reference": ("captured",)}
    return [a_failure(n, kind="retried", event="Capture", **both) for n in range(1, number + 1)]


async def test_calls_are_resolved_with_the_outcome_that_was_confirmed() -> None:
    services = SampleServices()
    services.settled = {"o-2": "nothing_owed", "o-3": "not_resolved"}
    trail: list[tuple[str, ...]] = []
    repairs = repairs_of(services, trail)
    plan = repairs.plan("resolve", "seen at the bank", "anna", calls(3))
    job = await repairs.start(plan.id, RepairTerms(500, "declined"), "anna", "token")
    assert job is not None
    await finished(job)
    assert job.counts == {"acted": 1, "ignored": 1, "refused": 1}
    sent = {"outcome": "declined", "note": "seen at the bank", "reference": ""}
    asked = [("payment", "/ops/resolve", {"key": f"o-{n}", **sent}) for n in (1, 2, 3)]
    assert services.acts == asked
    assert trail[0][2] == f"resolve {plan.id} as declined: 3 of payment, Capture"


@pytest.mark.parametrize(
    ("failures", "outcomes"),
    [
        (calls(1), ("captured", "declined")),
        (calls(2), ("declined",)),
        ([*calls(2), a_failure(9, resolvable=("captured",))], ()),
    ],
    ids=["one", "many", "different"],
)
def test_an_outcome_counts_for_all_calls_and_a_reference_for_one(
    failures: list[Failure], outcomes: tuple[str, ...]
) -> None:
    plan = repairs_of(SampleServices()).plan("resolve", "seen", "anna", failures)
    assert plan.outcomes == outcomes


@pytest.mark.parametrize(
    ("action", "terms", "why"),
    [
        ("resolve", RepairTerms(1), "the outcome is one of: captured, declined"),
        ("resolve", RepairTerms(1, "refunded"), "the outcome is one of: captured, declined"),
        ("resolve", RepairTerms(1, "captured"), "captured takes the provider's reference"),
        ("resolve", RepairTerms(1, "captured", "re_1"), ""),
        ("resolve", RepairTerms(1, "declined"), ""),
        ("expedite", RepairTerms(1, "declined"), "expedite takes no outcome"),
        ("expedite", RepairTerms(1), ""),
    ],
)
def test_a_plan_says_what_its_terms_lack(action: RepairKind, terms: RepairTerms, why: str) -> None:
    plan = repairs_of(SampleServices()).plan(action, "seen", "anna", calls(1))
    assert plan.refused(terms) == why


async def test_looking_ahead_changes_nothing() -> None:
    services = SampleServices()
    repairs = repairs_of(services)
    services.refused = {services.heads["payment"][0]["key"]}
    plan = repairs.plan("redrive", "fixed", "anna", some_of(services))
    outlook = await repairs.tried(plan, "token")
    assert outlook == {"goes on": 6, "parked again: still wrong": 1}
    assert services.acts == []
    assert len(services.heads["payment"]) == 7


async def test_the_set_is_that_of_the_moment_at_which_it_was_planned() -> None:
    services = SampleServices()
    repairs = repairs_of(services)
    plan = repairs.plan("discard", "sent by hand", "anna", some_of(services))
    services.heads["payment"].append(a_head(99, "came later"))
    job = await repairs.start(plan.id, QUICK, "anna", "token")
    assert job is not None
    await finished(job)
    assert [head["id"] for head in services.heads["payment"]] == ["letter-99"]


async def test_a_plan_is_begun_once() -> None:
    services = SampleServices()
    repairs = repairs_of(services)
    plan = repairs.plan("expedite", "now", "anna", some_of(services))
    job = await repairs.start(plan.id, QUICK, "anna", "token")
    assert await repairs.start(plan.id, QUICK, "anna", "token") is None
    assert job is not None
    await finished(job)
    assert job.counts == {"acted": 7}


async def test_a_repair_is_recorded_as_it_begins_is_steered_and_ends() -> None:
    services = SampleServices()
    trail: list[tuple[str, ...]] = []
    repairs = repairs_of(services, trail)
    plan = repairs.plan("redrive", "fixed", "anna", some_of(services))
    job = await repairs.start(plan.id, RepairTerms(1), "otto", "token")
    assert job is not None
    assert trail == [("otto", "repair_begun", job.beginning, "fixed")]
    for verb in ("pause", "resume", "stop"):
        await repairs.steer(job, verb, "carl")
    await finished(job)
    assert [(by, action) for by, action, _, _ in trail[1:]] == [
        ("carl", "repair_pause"),
        ("carl", "repair_resume"),
        ("carl", "repair_stop"),
        ("otto", "repair_ended"),
    ]
    assert trail[-1][2:] == (job.ending, "fixed")


async def test_a_repair_that_can_not_be_recorded_is_not_begun_and_can_be_confirmed_again() -> None:
    services = SampleServices()
    trail: list[tuple[str, ...]] = []
    repairs = repairs_of(services, trail)
    plan = repairs.plan("redrive", "fixed", "anna", some_of(services))
    recorder, repairs.record = repairs.record, away
    with pytest.raises(TransientError):
        await repairs.start(plan.id, QUICK, "anna", "token")
    assert services.acts == []
    repairs.record = recorder
    assert await repairs.start(plan.id, QUICK, "anna", "token") is not None
    await repairs.close()
    assert [entry[1] for entry in trail] == ["repair_begun", "repair_ended"]


async def test_a_stop_waits_for_no_record_and_an_end_that_is_not_recorded_says_so() -> None:
    services = SampleServices()
    repairs, job = await slow_redrive(services)
    repairs.record = away
    with pytest.raises(TransientError):
        await repairs.steer(job, "stop", "anna")
    await finished(job)
    assert (job.state, job.unrecorded) == ("stopped", "gone")


async def slow_redrive(services: SampleServices) -> tuple[Repairs, Repair]:
    """Of one order a second."""
    repairs = repairs_of(services)
    plan = repairs.plan("redrive", "fixed", "anna", some_of(services))
    job = await repairs.start(plan.id, RepairTerms(1), "anna", "token")
    assert job is not None
    return repairs, job


async def away(*_: str) -> None:
    raise TransientError("gone")


async def test_a_repair_is_paused_and_stopped_and_says_how_far_it_came() -> None:
    services = SampleServices()
    _repairs, job = await slow_redrive(services)
    job.pause()
    await until_async(lambda: job.finished == 1, 10, "the first of them")
    assert job.state == "paused"
    job.resume()
    job.stop()
    await finished(job)
    assert job.finished < 7
    assert job.summary.startswith(f"stopped: {job.counts['acted']} acted, 0 refused")


async def test_a_console_that_ends_stops_its_repairs() -> None:
    services = SampleServices()
    repairs, job = await slow_redrive(services)
    await repairs.close()
    assert job.state == "stopped"
    assert job.ended_at is not None
