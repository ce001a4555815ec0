"""`saga schema`: what a change of an event breaks, and for whom."""

import json
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pytest
from pydantic import Field

from chassis.events import Catalog, Upcaster
from saga_cli.schema import snapshot, sources
from saga_cli.schema.comparing import BACKWARD, FORWARD, UNNOTICED, SchemaChange, changes, merged
from saga_cli.schema.snapshot import Vocabulary
from shared_events.catalog import CATALOG, CatalogRow, listed
from shared_events.values import Line, Order
from tests.support.saga import saga

ROOT: Final = Path(__file__).parents[2]
TYPE: Final = "parcel.weighed.v1"
LATER: Final = "parcel.weighed.v2"


def event(*fields: Any) -> type[Any]:
    """An event with these fields beside the order's id: (name, type), and perhaps a default."""
    return make_dataclass("ParcelWeighed", [("order_id", str), *fields], kw_only=True)


def vocabulary(*rows: CatalogRow, upcasters: dict[str, Upcaster] | None = None) -> Vocabulary:
    return snapshot.of(Catalog(listed(rows), upcasters or {}).entries)


def weighed(*fields: Any, wire_type: str = TYPE, owner: str = "shipping") -> Vocabulary:
    """A vocabulary of one event; of a later version, with an upcaster from the first."""
    upcasters: dict[str, Upcaster] = {TYPE: dict[str, Any]} if wire_type == LATER else {}
    return vocabulary((wire_type, event(*fields), owner), upcasters=upcasters)


def compared(old: Vocabulary, new: Vocabulary) -> set[tuple[str, str]]:
    return {(change.what, change.breaks) for change in changes(old, new)}


@dataclass
class Crate:
    lines: tuple[Line, ...]
    note: str = ""


@dataclass
class MarkedCrate:
    lines: tuple[Line, ...]
    mark: str


SAME: Final = (("grams", int), ("scale", str))
CHANGES: Final = {
    "nothing": (SAME, SAME, set()),
    "a new field with a default": (
        SAME,
        (*SAME, ("hall", str, "A")),
        {("hall is new", "")},
    ),
    "a new field without one": (
        SAME,
        (*SAME, ("hall", str)),
        {("hall is new", ""), ("hall is needed, and is not there", BACKWARD)},
    ),
    "a field less": (
        (*SAME, ("hall", str)),
        SAME,
        {("hall is needed, and is not there", FORWARD)},
    ),
    "a field less that had a default": (
        (*SAME, ("hall", str, "A")),
        SAME,
        {("hall is gone", UNNOTICED)},
    ),
    "another default": (
        (("hall", str, "A"),),
        (("hall", str, "B"),),
        {("hall was A where it is missing, now B", UNNOTICED)},
    ),
    "another type": (
        (("grams", int),),
        (("grams", str),),
        {
            ("grams is integer where string is read", BACKWARD),
            ("grams is string where integer is read", FORWARD),
        },
    ),
    "a wider type": (
        (("grams", int),),
        (("grams", float),),
        {("grams is number where integer is read", FORWARD)},
    ),
    "a field that may be null": (
        (("grams", int),),
        (("grams", int | None),),
        {("grams is null where integer is read", FORWARD)},
    ),
    "a choice less": (
        (("scale", Literal["a", "b"]),),
        (("scale", Literal["b", "c"]),),
        {
            ("scale may be 'a', which is not read", BACKWARD),
            ("scale may be 'c', which is not read", FORWARD),
        },
    ),
    "a choice where there was any": (
        (("scale", str),),
        (("scale", Literal["a", "b"]),),
        {("scale may be anything where one of 'a', 'b' is read", BACKWARD)},
    ),
    "a narrower range": (
        (("grams", Annotated[int, Field(ge=0, le=9)]),),
        (("grams", Annotated[int, Field(ge=1, le=9)]),),
        {("grams needs minimum 1, where it is 0", BACKWARD)},
    ),
    "a form": (
        (("scale", str),),
        (("scale", Annotated[str, Field(pattern="^[a-z]+$")]),),
        {("scale needs pattern ^[a-z]+$, where it is free", BACKWARD)},
    ),
    "inside a list": (
        (("crates", tuple[Crate, ...]),),
        (("crates", tuple[MarkedCrate, ...]),),
        {
            ("crates.mark is new", ""),
            ("crates.note is gone", UNNOTICED),
            ("crates[].mark is needed, and is not there", BACKWARD),
        },
    ),
    "inside a mapping": (
        (("scales", dict[str, int]),),
        (("scales", dict[str, str]),),
        {
            ("scales.* is integer where string is read", BACKWARD),
            ("scales.* is string where integer is read", FORWARD),
        },
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_told_with_who_is_broken_by_it(name: str) -> None:
    old, new, outcome = CHANGES[name]
    assert compared(weighed(*old), weighed(*new)) == outcome


def test_a_removed_type_breaks_and_a_new_one_does_not() -> None:
    lost: CatalogRow = ("parcel.lost.v1", event(), "shipping")
    one, two = weighed(*SAME), vocabulary((TYPE, event(*SAME), "shipping"), lost)
    assert compared(one, two) == {("is new: whoever reads shipping.facts goes first", "")}
    assert compared(two, one) == {("is gone", BACKWARD)}


def test_another_owner_and_with_it_another_topic_breaks_both() -> None:
    both = f"{BACKWARD}; {FORWARD}"
    assert compared(weighed(*SAME), weighed(*SAME, owner="order")) == {
        ("its owner was shipping, now order", both),
        ("its topic was shipping.facts, now order.facts", both),
        ("is not read in shipping.events any more", BACKWARD),
    }


def moved(old: snapshot.Event, topic: str, *former: str) -> set[tuple[str, str]]:
    return compared({TYPE: old}, {TYPE: replace(old, topic=topic, former=former)})


def test_a_move_to_another_topic_is_fine_where_the_old_one_is_read_and_can_be_written() -> None:
    """New code writes the newest of the former topics until old readers are gone."""
    old = snapshot.Event("shipping", "shipping.events", "order_id", (), {})
    assert moved(old, "shipping.facts", "shipping.events") == {
        ("moved from shipping.events to shipping.facts: whoever reads it goes first", "")
    }
    assert moved(old, "shipping.facts", "shipping.events", "shipping.later") == {
        ("moved from shipping.events to shipping.facts: old code does not look there", UNNOTICED)
    }
    both = f"{BACKWARD}; {FORWARD}"
    assert moved(old, "shipping.facts") == {
        ("its topic was shipping.events, now shipping.facts", both)
    }


def test_a_former_topic_is_not_given_up() -> None:
    old = replace(weighed(*SAME)[TYPE], former=("shipping.events", "shipping.later"))
    assert moved(old, old.topic, *old.former) == set()
    assert moved(old, old.topic, "shipping.later") == {
        ("is not read in shipping.events any more", BACKWARD)
    }


def test_the_topics_of_the_first_release_are_former_ones() -> None:
    first = sources.vocabulary(str(sources.STORED / "0.1.0.json"))
    found = {c.what for c in changes(first, sources.here()) if c.wire_type == "order.placed.v1"}
    assert "moved from order.events to order.forward: whoever reads it goes first" in found


def test_another_key_breaks_in_a_new_version_too() -> None:
    by_sku = make_dataclass("ParcelWeighed", [("sku", str)])
    upcasters: dict[str, Upcaster] = {TYPE: dict[str, Any]}
    new = vocabulary((LATER, by_sku, "shipping"), upcasters=upcasters)
    both = f"{BACKWARD}; {FORWARD}"
    assert ("its key was order_id, now sku", both) in compared(weighed(*SAME), new)


def test_a_breaking_change_in_a_new_version_with_an_upcaster_is_fine() -> None:
    old, new = weighed(*SAME), weighed(("kilograms", float), wire_type=LATER)
    assert compared(old, new) == {
        (f"is read as {LATER}, through an upcaster", ""),
        ("is new: whoever reads it goes first", ""),
    }
    assert compared(new, weighed(("kilograms", float))) >= {("is gone", BACKWARD)}


def test_an_upcaster_is_not_given_up_in_a_later_release() -> None:
    """v3 has to read v1 as well: the log has not changed."""
    old = weighed(*SAME, wire_type=LATER)
    third = snapshot.Event("shipping", "shipping.facts", "order_id", (LATER,), {})
    assert ("is gone", BACKWARD) in compared(old, {"parcel.weighed.v3": third})


def test_fields_that_an_order_keeps_are_no_field_of_its_own() -> None:
    schema = snapshot.of(CATALOG.entries)["stock.reserved.v1"].schema["$defs"]["Order"]
    assert schema["properties"].keys() == Order.__dataclass_fields__.keys() - {"unknown"}
    assert schema["additionalProperties"] is True


def test_what_breaks_both_ways_is_told_once_and_first() -> None:
    found = [
        SchemaChange("b", "x", BACKWARD),
        SchemaChange("a", "y"),
        SchemaChange("b", "x", FORWARD),
    ]
    assert merged(found) == [
        SchemaChange("b", "x", f"{BACKWARD}; {FORWARD}"),
        SchemaChange("a", "y"),
    ]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    file = tmp_path / "today.json"
    assert saga("schema", "export", str(file)).code == 0
    return file


def test_what_was_exported_is_the_same_vocabulary(exported: Path) -> None:
    result = saga("schema", "check", str(exported))
    assert result.code == 0
    assert f"{len(CATALOG.entries)} now: 0 breaking, 0 fine." in result.out
    assert saga("schema", "export", str(exported)).code == 2


def edited(file: Path, wire_type: str, **properties: Any) -> Path:
    """As an older release might have had it."""
    found = json.loads(file.read_bytes())
    schema = found[wire_type]["schema"]
    schema["properties"] |= properties
    schema["required"] += list(properties)
    changed = file.with_name("older.json")
    changed.write_text(json.dumps(found))
    return changed


def test_check_ends_with_1_and_says_what_broke(exported: Path) -> None:
    older = edited(exported, "order.confirmed.v1", by={"type": "string"})
    result = saga("schema", "check", "--against", str(older))
    assert result.code == 1
    what = "by is needed, and is not there"
    assert f"breaking order.confirmed.v1: {what} ({FORWARD})" in result.out.splitlines()
    outcome = saga("schema", "check", str(older), str(exported), "--json").json
    assert outcome == [{"wire_type": "order.confirmed.v1", "what": what, "breaks": FORWARD}]


@pytest.mark.long(1)
def test_a_checkout_and_a_revision_say_themselves_what_they_publish(tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    folder.mkdir()
    for package in ("shared_events", "chassis"):
        (folder / package).symlink_to(ROOT / package)
    assert sources.vocabulary(str(folder)) == sources.here()
    if (ROOT / ".git").exists():
        assert "order.placed.v1" in sources.vocabulary("HEAD")


def test_show_prints_a_schema_that_the_event_has() -> None:
    shown = saga("schema", "show", "order.cancelled").json
    assert shown["title"] == "order.cancelled.v1"
    assert shown["required"] == ["order_id", "reason", "refused_by"]
    assert shown == saga("schema", "show", "order.cancelled.v1").json
    listed = saga("schema", "show").out
    assert all(wire_type in listed for wire_type in CATALOG.by_type)


WRONG: Final = {
    "nothing-of-that-name": "there is no file, checkout or revision 'nothing-of-that-name'",
    "--help-me": "No such option",
    "/": "/ is no checkout: it has no shared_events",
    f"{ROOT / 'pyproject.toml'}": "can't be read: it is not as `schema export` writes it",
}


@pytest.mark.parametrize("word", WRONG)
def test_what_is_no_vocabulary_is_one_line_and_exit_code_2(word: str) -> None:
    result = saga("schema", "check", word)
    assert (result.code, result.out) == (2, "")
    assert WRONG[word] in result.err
    assert len(result.err.splitlines()) == 1


def test_a_revision_is_no_option(tmp_path: Path) -> None:
    """`git archive --output=FILE` would write one."""
    result = saga("schema", "check", "--", f"--output={tmp_path / 'written'}")
    assert (result.code, "there is no file, checkout or revision" in result.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_checkout_that_does_not_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "shared_events").mkdir()
    (tmp_path / "shared_events" / "__init__.py").write_text("1 / 0")
    result = saga("schema", "check", str(tmp_path))
    assert result.code == 2
    assert "ZeroDivisionError" in result.err


def test_a_catalog_that_makes_no_sense_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> Vocabulary:
        return vocabulary((LATER, event(), "shipping"))

    monkeypatch.setattr(snapshot, "today", wrong)
    why = f"the events of this code make no sense: {LATER} has no upcaster from {TYPE}"
    assert saga("schema", "check") == (2, "", f"saga: {why}\n")


def test_an_event_that_nobody_knows_is_one_line_and_exit_code_2() -> None:
    result = saga("schema", "show", "stock.reserved.v9")
    assert (result.code, result.err) == (2, "saga: there is no event 'stock.reserved.v9'\n")


def test_the_snapshot_needs_nothing_but_the_vocabulary() -> None:
    """It runs in checkouts that have no such command."""
    source = Path(snapshot.__file__).read_text("utf-8")
    assert "saga_cli" not in source
