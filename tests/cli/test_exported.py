"""What tools of process mining get: each form is as its standard says, and names nobody."""

import csv
import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from saga_cli.log.reader import LogEvent
from saga_cli.observed import sorted_cases
from saga_cli.observed.case_logs import COLUMNS, table, xes
from saga_cli.observed.cases import Case, cases_of, file_records
from saga_cli.observed.objects import CustomerIds
from saga_cli.observed.ocel import ocel
from saga_cli.observed.sorted_cases import SortedCases
from shared_events.order import OrderPlaced
from shared_events.pseudonyms import PREFIX
from tests.cli.golden_cases import LOG, golden, golden_orders
from tests.support.saga import saga

TEXT: Final = {"type": "string"}
TIME: Final = {"type": "string", "format": "date-time"}


def listed(**fields: Any) -> dict[str, Any]:
    """A list of objects with these fields, all of which are needed, and no others."""
    inner = {"type": "object", "properties": fields, "additionalProperties": False}
    return {"type": "array", "items": {**inner, "required": [*fields]}}


ATTRIBUTE_TYPES: Final = {"enum": ["string", "time", "integer", "float", "boolean"]}
TYPES: Final = listed(name=TEXT, attributes=listed(name=TEXT, type=ATTRIBUTE_TYPES))
LINKS: Final = listed(objectId=TEXT, qualifier=TEXT)
FORMAT: Final = listed(
    objectTypes=TYPES,
    eventTypes=TYPES,
    objects=listed(
        id=TEXT,
        type=TEXT,
        attributes=listed(name=TEXT, time=TIME, value=TEXT),
        relationships=LINKS,
    ),
    events=listed(
        id=TEXT,
        type=TEXT,
        time=TIME,
        attributes=listed(name=TEXT, value=TEXT),
        relationships=LINKS,
    ),
)["items"]
"""What the specification of OCEL 2.0 requires of a document in JSON, more strictly than its schema."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads("\n".join(ocel(golden())))
    return found


def test_the_document_is_as_the_format_says(document: dict[str, Any]) -> None:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(FORMAT, format_checker=checker).validate(document)
    for kinds, things in (("objectTypes", "objects"), ("eventTypes", "events")):
        declared = {
            kind["name"]: {a["name"]: a["type"] for a in kind["attributes"]}
            for kind in document[kinds]
        }
        ids = [thing["id"] for thing in document[things]]
        assert len(ids) == len(set(ids))
        for thing in document[things]:
            for attribute in thing["attributes"]:
                kind = declared[thing["type"]][attribute["name"]]
                assert kind == "string" or str(int(attribute["value"])) == attribute["value"]


def test_each_relation_leads_to_an_object_and_each_event_has_one(document: dict[str, Any]) -> None:
    objects = {each["id"]: each["type"] for each in document["objects"]}
    for thing in (*document["objects"], *document["events"]):
        assert {link["objectId"] for link in thing["relationships"]} <= objects.keys()
    assert all(event["relationships"] for event in document["events"])
    placed = next(e for e in document["events"] if e["type"] == "order.placed.v1")
    assert {(objects[x["objectId"]], x["qualifier"]) for x in placed["relationships"]} >= {
        ("order", "order"),
        ("customer", "placed by"),
        ("product", "ordered"),
    }


def test_products_and_customers_make_no_orders(document: dict[str, Any]) -> None:
    counts = Counter(each["type"] for each in document["objects"])
    assert counts["order"] == len(golden_orders()) == 390
    orders = {each["id"] for each in document["objects"] if each["type"] == "order"}
    others = ("product.", "stock.received", "customer.")
    for event in document["events"]:
        is_of_an_order = any(link["objectId"] in orders for link in event["relationships"])
        assert is_of_an_order != event["type"].startswith(others), event


def test_a_payment_is_one_that_was_asked_for(document: dict[str, Any]) -> None:
    payments = {each["id"] for each in document["objects"] if each["type"] == "payment"}
    asked = {
        f"payment:{case.subject}"
        for case in golden_orders()
        for step in case.steps
        if step.service == "payment" and step.envelope.type != "payment.cancellation_noted.v1"
    }
    assert payments == asked


def test_events_are_sorted_by_case_and_time(document: dict[str, Any]) -> None:
    case_of = {str(s.envelope.id): case.subject for case in golden() for s in case.steps}
    rows = [(case_of[event["id"]], event["time"]) for event in document["events"]]
    assert rows == sorted(rows)


def test_no_export_names_a_customer_or_a_card(document: dict[str, Any]) -> None:
    """The golden log is of a release whose events did."""
    placed = [
        step.envelope.event.order
        for case in golden_orders()
        for step in case.steps
        if isinstance(step.envelope.event, OrderPlaced)
    ]
    named = {text for o in placed for text in (o.customer_id, o.payment_token, o.postal_code)}
    assert len(named - {""}) > 5
    texts = (json.dumps(document), "\n".join(xes(golden())), "\n".join(table(golden())))
    for text in texts:
        assert [name for name in named - {""} if f'"{name}"' in text or f",{name}," in text] == []


def test_a_pseudonym_stays_and_a_name_becomes_a_number() -> None:
    customers, pseudonym = CustomerIds(), f"{PREFIX}0199b4d2-7d54-7d7c-a6a5-b9f6f5a1c001"
    ids = [customers.id_of(name) for name in ("alice", pseudonym, "bob", "alice")]
    assert ids == ["customer:1", pseudonym, "customer:2", "customer:1"]


def test_xes_is_as_its_standard_says() -> None:
    root = ET.fromstring("\n".join(xes(golden())))  # noqa: S314 - our own
    assert (root.tag, root.attrib["xes.version"]) == ("log", "2.0")
    order = ["extension", "classifier", "trace"]
    assert [*dict.fromkeys(child.tag for child in root)] == order
    traces = root.findall("trace")
    assert len(traces) == 390
    for trace in traces:
        tags = [child.tag for child in trace]
        assert tags == sorted(tags, key=lambda tag: tag == "event")
        times = [date.attrib["value"] for date in trace.iterfind("event/date")]
        assert times == sorted(times)
        for value in trace.iterfind(".//*[@key]"):
            assert {*value.attrib} == {"key", "value"}
            assert value.tag in {"string", "date", "int"}
    assert {x.attrib["prefix"] for x in root.findall("extension")} >= {"concept", "time"}


def test_the_table_has_a_row_for_each_event_of_an_order() -> None:
    head, *rows = csv.reader(table(golden()))
    assert tuple(head) == COLUMNS
    assert len(rows) == sum(len(case.steps) for case in golden_orders())
    keys = [(row[0], datetime.fromisoformat(row[2])) for row in rows]
    assert keys == sorted(keys)


@pytest.mark.long(2)
def test_cases_come_by_subject_and_few_of_them_are_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unread: list[str] = []
    sizes: list[int] = []

    def counted(events: Iterable[LogEvent]) -> list[Case]:
        known = list(events)
        sizes.append(len(known))
        return cases_of(known)

    monkeypatch.setattr(sorted_cases, "cases_of", counted)
    with SortedCases(4000, unread, bucket_records=100) as cases:
        cases.add(file_records(LOG))
        assert list(cases) == list(golden())
    assert unread == []
    assert len(sizes) == 41
    assert max(sizes) < sum(sizes) / 10


@pytest.mark.long(1)
def test_a_period_leaves_out_orders_that_began_elsewhere() -> None:
    began = sorted(case.began for case in golden_orders())
    since = began[len(began) // 2].isoformat()
    ended = saga("export", "--log", str(LOG), "--format", "csv", "--since", since)
    found = {row[0] for row in csv.reader(ended.out.splitlines()[1:])}
    assert found == {
        case.subject for case in golden_orders() if case.began >= datetime.fromisoformat(since)
    }


@pytest.mark.long(2)
@pytest.mark.parametrize(("form", "begins"), [("ocel2", "{"), ("xes", "<?xml"), ("csv", "case,")])
def test_each_form_is_printed(form: str, begins: str) -> None:
    ended = saga("export", "--log", str(LOG), "--format", form)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(begins)


@pytest.mark.skipif(not find_spec("pm4py"), reason="pm4py is AGPL: it is no dependency")
def test_pm4py_reads_what_is_exported(document: dict[str, Any], tmp_path: Path) -> None:
    import pm4py  # type: ignore[import-not-found] # noqa: PLC0415 - where it is

    (of_objects := tmp_path / "log.json").write_text(json.dumps(document))
    (of_cases := tmp_path / "log.xes").write_text("\n".join(xes(golden())))
    log = pm4py.read_ocel2_json(str(of_objects))
    assert len(pm4py.ocel_flattening(log, "order")["case:concept:name"].unique()) == 390
    assert len(pm4py.get_variants(pm4py.read_xes(str(of_cases)))) == 92
