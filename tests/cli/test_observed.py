"""Edges and variants of a log: the golden one, of 390 orders, and a small shop's."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from guarantees.causes import CAUSES
from saga_cli.history.showing import TimelineStep
from saga_cli.observed.cases import Case, Period, cases_of, read_cases
from saga_cli.observed.flow import EdgeStatus, Flow, ObservedEdge, quantile
from saga_cli.observed.flow_shown import mermaid, svg
from saga_cli.observed.variants import Variants, shape_of
from tests.cli.golden_cases import LOG, golden, golden_orders
from tests.cli.orders import DAY_ONE, a_shop, order_id
from tests.support.saga import saga

GOLDEN: Final = ("--log", str(LOG))


def edges_of(cases: list[Case], declared: object = CAUSES) -> list[ObservedEdge]:
    flow = Flow(declared)  # type: ignore[arg-type]
    flow.add(cases)
    return flow.edges()


def found(edges: list[ObservedEdge], status: EdgeStatus) -> set[tuple[str, str]]:
    return {(edge.cause, edge.event) for edge in edges if edge.status is status}


@pytest.fixture(scope="module")
def golden_edges() -> list[ObservedEdge]:
    return edges_of([*golden()])


def test_nothing_in_the_golden_log_is_undeclared(golden_edges: list[ObservedEdge]) -> None:
    assert found(golden_edges, EdgeStatus.UNDECLARED) == set()
    assert sum(edge.count for edge in golden_edges) == sum(len(case.steps) for case in golden())
    assert found(golden_edges, EdgeStatus.UNSEEN) == {
        ("ReturnStock", "stock.returned.v1"),
        ("SetStock", "stock.written_off.v1"),
        ("WriteOffStock", "stock.written_off.v1"),
        ("order.cancellation_requested.v1", "stock.cancellation_noted.v1"),
        ("shipment.dispatched.v1", "stock.committed.v1"),
        ("shipment.dispatched.v1", "stock.shipped.v1"),
        ("points.rejected.v1", "shipment.cancellation_refused.v1"),
    }


def test_an_edge_has_its_count_and_its_latencies(golden_edges: list[ObservedEdge]) -> None:
    (edge,) = (e for e in golden_edges if e.event == "order.confirmed.v1")
    assert (edge.service, edge.cause, edge.count) == ("order", "points.awarded.v1", 216)
    assert 0 < edge.p50_ms <= edge.p95_ms <= edge.max_ms
    hops = sorted(
        step.hop_ms or 0.0
        for case in golden()
        for step in case.steps
        if step.envelope.type == edge.event
    )
    assert (edge.p50_ms, edge.max_ms) == (hops[108], hops[-1])


def test_the_quantile_of_nothing_is_nothing() -> None:
    assert quantile([], 0.5) == 0
    assert quantile([7.0], 0.95) == 7


def test_a_cause_that_an_old_release_did_not_name_is_one_of_those_that_are_declared(
    golden_edges: list[ObservedEdge],
) -> None:
    by_event = {edge.event: edge.cause for edge in golden_edges if edge.count}
    assert by_event["payment.captured.v1"] == "CaptureSucceeded"
    assert by_event["order.cancellation_requested.v1"] == "CancelOrder or DeadlinePassed"


def test_what_nobody_declared_is_found() -> None:
    less = {name: dict(causes) for name, causes in CAUSES.items()}
    less["order"]["points.awarded.v1"] = ("order.cancellation_refused.v1",)
    edges = edges_of([*golden()], less)
    assert found(edges, EdgeStatus.UNDECLARED) == {("points.awarded.v1", "order.confirmed.v1")}
    drawn = "\n".join(svg(edges))
    assert 'class="undeclared"' in drawn
    assert "==>" in "\n".join(mermaid(edges))


def test_by_time_there_are_92_variants_and_by_causation_23() -> None:
    orders = golden_orders()
    by_time = {
        tuple(s.envelope.type for s in sorted(case.steps, key=lambda s: s.envelope.time))
        for case in orders
    }
    variants = Variants()
    variants.add(golden())
    assert (len(orders), variants.orders) == (390, 390)
    assert (len(by_time), len(variants.found())) == (92, 23)


def test_the_most_frequent_comes_first_and_each_has_an_order_of_it() -> None:
    variants = Variants()
    variants.add(golden())
    all_of_them = variants.found()
    counts = [each.count for each in all_of_them]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == 390
    assert [each.number for each in all_of_them if each.is_rare] == [*range(12, 24)]
    by_id = {case.subject: case for case in golden_orders()}
    for each in all_of_them:
        assert shape_of(by_id[each.example].steps) == each.shape
    assert all_of_them[0].end == "order.confirmed.v1"


def test_the_order_of_what_has_one_cause_makes_no_variant() -> None:
    case = max(golden_orders(), key=lambda case: len(case.steps))
    turned = [replace(step, number=-step.number, cause=-step.cause) for step in case.steps]
    assert shape_of(turned[::-1]) == shape_of(case.steps)


def test_a_shape_is_a_tree() -> None:
    case = next(c for c in golden_orders() if len(c.steps) == 3)
    assert shape_of(case.steps) == "order.placed.v1 (stock.rejected.v1 (order.cancelled.v1))"


def shop_cases() -> list[Case]:
    async def read() -> list[Case]:
        source, unread = a_shop().log, list[str]()
        return [case async for cases in read_cases(source, unread) for case in cases]

    return asyncio.run(read())


def test_a_log_is_read_in_parts_that_hold_whole_orders() -> None:
    cases = shop_cases()
    subjects = [case.subject for case in cases]
    assert len(subjects) == len(set(subjects))
    returned = next(case for case in cases if case.subject == order_id(DAY_ONE, 0))
    assert returned.steps[-1].envelope.type == "order.cancelled.v1"


def test_cases_are_those_that_began_in_the_period() -> None:
    cases = shop_cases()
    day_one = Period(None, DAY_ONE + timedelta(hours=1))
    rest = Period(DAY_ONE + timedelta(hours=1), None)
    kept = [[case.subject for case in cases if each.has(case)] for each in (day_one, rest)]
    assert all(kept)
    assert len(kept[0]) + len(kept[1]) == len(cases)


def test_a_case_without_its_beginning_is_one_still() -> None:
    complete = golden_orders()[0]
    events = [step.entry for step in complete.steps[3:]]
    (cut,) = cases_of(events)
    assert (cut.subject, cut.is_order, len(cut.steps)) == (complete.subject, True, len(events))
    causes = [cause for _, cause in cut.causes()]
    assert len(causes) == len(events)


@pytest.mark.long(3)
def test_the_flow_is_printed_in_each_form() -> None:
    text, as_json, drawn, chart = (
        saga("flow", *GOLDEN, "--format", form) for form in ("text", "json", "svg", "mermaid")
    )
    assert {each.code for each in (text, as_json, drawn, chart)} == {0}
    last = text.out.splitlines()[-1]
    assert last == "3962 events on 41 declared edges, 0 undeclared; 7 declared were never seen"
    assert {edge["status"] for edge in as_json.json} == {"declared", "unseen"}
    root = ET.fromstring(drawn.out)  # noqa: S314 - our own
    boxes = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(boxes) == len({edge["event"] for edge in as_json.json}) == 38
    assert chart.out.startswith("flowchart LR\n")


def test_an_undeclared_edge_ends_the_command_with_1(tmp_path: Path) -> None:
    step = _confirmation()
    line = {
        "topic": "order.outcome",
        "partition": 0,
        "offset": 0,
        "key": step.envelope.subject,
        "headers": {**_headers(step), "ce_causationtype": "stock.reserved.v1"},
        "value": json.dumps({"order_id": step.envelope.subject}),
    }
    (log := tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    ended = saga("flow", "--log", str(log))
    assert ended.code == 1, ended
    assert "UNDECLARED" in ended.out


def _confirmation() -> TimelineStep:
    steps = (step for case in golden_orders() for step in case.steps)
    return next(step for step in steps if step.envelope.type == "order.confirmed.v1")


def _headers(step: TimelineStep) -> dict[str, str]:
    envelope = step.envelope
    return {
        "ce_specversion": "1.0",
        "ce_id": str(envelope.id),
        "ce_type": envelope.type,
        "ce_source": envelope.source,
        "ce_subject": envelope.subject,
        "ce_time": envelope.time.isoformat(),
        "ce_sequence": str(envelope.sequence),
        "ce_sagaid": envelope.saga_id,
        "ce_causationid": str(envelope.causation_id),
        "content-type": "application/json",
    }


@pytest.mark.long(1)
def test_variants_are_printed_with_the_rare_ones_marked() -> None:
    shown = saga("variants", *GOLDEN)
    assert (shown.code, shown.err) == (0, "")
    assert "orders: 390, variants: 23, rare ones (below 1%): 12" in shown.out
    assert shown.out.count(" rare ") == 13
    first = saga("variants", *GOLDEN, "--json").json[0]
    assert (first["number"], first["count"], first["rare"]) == (1, 148, False)


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("flow", "--format", "gif"), 2, "there is no format 'gif'; there are text, json"),
        (("export", "--format", "ocel"), 2, "there is no format 'ocel'; there are ocel2"),
        (("variants", "--since", "noon"), 2, "'noon' is no instant"),
        (("flow", "--log", "x", "--archive", "y"), 2, "give --archive or --log, not both"),
        (("flow", "--log", "/none"), 2, "/none: No such file or directory"),
        (("variants", "--log", __file__), 2, "is no log: a record a line, as JSON"),
        (("flow",), 2, "no stack runs in this folder"),
        (("variants", *GOLDEN, "--until", "2001-01-01"), 1, "the log has no order in this"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    words: tuple[str, ...], code: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = saga(*words)
    assert (ended.code, len(ended.err.splitlines())) == (code, 1)
    assert why in ended.err
