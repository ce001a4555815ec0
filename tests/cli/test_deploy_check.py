"""`saga deploy-check`: what keeps a version of a service from going out, and what does not."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from chassis.message import Record
from guarantees.declared import service_of
from guarantees.services import BY_NAME
from saga_cli.deploy import asking, checking, neighbours
from saga_cli.deploy.checking import DeployReason, RunningInstance
from saga_cli.deploy.released import ServiceRelease, described
from saga_cli.log.source import LogPartition
from saga_cli.ops.ops_client import Directory
from shared_events.catalog import CATALOG
from tests.cli.memory_log import MemoryLog
from tests.support.saga import saga

ROOT: Final = Path(__file__).parents[2]
PAYMENT: Final = described("payment")
RESERVED: Final = "stock.reserved.v1"
NEW_TYPE: Final = "stock.counted.v1"
KNOWN: Final = tuple(sorted(CATALOG.by_type))


def with_newer(service: ServiceRelease, wire_type: str, later: str) -> ServiceRelease:
    """The service when it reads and writes a later version of an event."""

    def moved(events: Any) -> Any:
        return {
            later if name == wire_type else name: (
                replace(event, reads=(wire_type,)) if name == wire_type else event
            )
            for name, event in events.items()
        }

    known = (*service.known, later)
    return replace(service, reads=moved(service.reads), writes=moved(service.writes), known=known)


def whys(reasons: Iterable[DeployReason]) -> list[str]:
    return [reason.why for reason in reasons if reason.refuses]


def running(name: str, **changes: Any) -> RunningInstance:
    """An instance of this code."""
    service = service_of(name)
    answer = RunningInstance(
        name,
        f"http://{name}",
        BY_NAME[name].version,
        writes=service.written_types,
        reads=service.read_types,
        knows=KNOWN,
    )
    return replace(answer, **changes)


def of_running(new: ServiceRelease, *instances: RunningInstance) -> list[DeployReason]:
    contracts = neighbours.neighbours_of("payment", ()).contracts
    return list(checking.of_running(PAYMENT, new, instances, contracts))


def test_this_code_may_replace_itself() -> None:
    near = neighbours.neighbours_of("payment", ())
    assert {*near.contracts} == {"inventory", "shipping"}
    assert {*near.published} == BY_NAME.keys() - {"payment"}
    assert whys(checking.of_contracts(PAYMENT, near.contracts)) == []
    assert whys(checking.of_neighbours(PAYMENT, near.published)) == []
    assert whys(of_running(PAYMENT, *map(running, BY_NAME))) == []
    assert list(checking.of_migrations(PAYMENT, PAYMENT)) == []


def test_a_new_version_waits_until_its_readers_have_gone_first() -> None:
    later = with_newer(PAYMENT, "payment.captured.v1", "payment.captured.v2")
    near = neighbours.neighbours_of("payment", ())
    (why,) = whys(checking.of_contracts(later, near.contracts))
    assert why == (
        "shipping could not read it: payment.captured.v2 is published,"
        " and payment.captured.v1 is the newest that is read"
    )
    (why,) = whys(of_running(later, running("shipping")))
    assert "shipping at http://shipping does not know payment.captured.v2" in why
    reads = (*running("shipping").reads, "payment.captured.v2")
    upgraded = running("shipping", reads=reads, knows=(*KNOWN, "payment.captured.v2"))
    assert of_running(later, upgraded) == []


def test_a_reader_does_not_go_back_before_its_publisher() -> None:
    published = {
        "inventory": with_newer(described("inventory"), RESERVED, "stock.reserved.v2").writes
    }
    (why,) = whys(checking.of_neighbours(PAYMENT, published))
    assert why.startswith("it could not read inventory: stock.reserved.v2 is published")
    ahead = running("inventory", writes=("stock.reserved.v2",))
    assert whys(of_running(PAYMENT, ahead)) == [
        "inventory at http://inventory publishes stock.reserved.v2, which is not read"
    ]
    both = with_newer(PAYMENT, RESERVED, "stock.reserved.v2")
    assert of_running(both, ahead, running("inventory")) == []


def test_what_runs_has_to_answer_and_to_be_one_of_the_two() -> None:
    silent = running("order", silent="does not answer: refused")
    other = running("payment", version="9.9.9")
    assert whys(of_running(PAYMENT, silent, other)) == [
        "order at http://order does not answer: refused",
        "payment at http://payment is 9.9.9: neither OLD nor NEW says what runs",
    ]
    (note,) = of_running(PAYMENT, RunningInstance("order", "http://order"))
    assert (note.refuses, "has no /version" in note.why) == (False, True)


def test_each_version_in_the_log_has_to_be_read() -> None:
    log = MemoryLog()
    for wire_type in (RESERVED, "stock.reserved.v2", "stock.rejected.v7", NEW_TYPE):
        headers = (("ce_type", wire_type.encode()),)
        log.append(Record("inventory.forward", 0, 0, b"k", b"{}", headers))
    log.append(Record("inventory.forward", 0, 0, b"k", None, ()))
    log.append(Record("loyalty.backward", 0, 0, b"k", b"{}", (("ce_type", b"x.v1"),)))
    types = asyncio.run(asking.types_in(log, asking.topics_of(PAYMENT, from_start=True)))
    assert types == {
        "inventory.forward": Counter(
            {RESERVED: 1, "stock.reserved.v2": 1, "stock.rejected.v7": 1, NEW_TYPE: 1}
        )
    }
    assert whys(checking.of_log(PAYMENT, types)) == [
        "inventory.forward holds stock.reserved.v2 (1 of it), which is not read",
        f"inventory.forward holds {NEW_TYPE} (1 of it), which is not read",
    ]


def test_what_a_service_has_read_is_not_read_again() -> None:
    """Only what it has still to read; what is appended meanwhile is left out."""
    log, seen = MemoryLog(), list[tuple[int, int]]()
    for offset, wire_type in enumerate(("stock.reserved.v9", RESERVED, RESERVED, NEW_TYPE)):
        headers = (("ce_type", wire_type.encode()),)
        log.append(Record("inventory.forward", 0, offset, b"k", b"{}", headers))
    done = {LogPartition("inventory.forward", 0): 1, LogPartition("inventory.forward", 7): 5}
    topics = asking.topics_of(PAYMENT, from_start=False)
    types = asyncio.run(asking.types_in(log, topics, done, lambda *n: seen.append(n)))
    assert types == {"inventory.forward": Counter({RESERVED: 2, NEW_TYPE: 1})}
    assert (seen[0], sum(read for read, _ in seen)) == ((0, 3), 3)
    done |= {LogPartition("inventory.forward", 0): 4}
    assert asyncio.run(asking.types_in(log, topics, done)) == {}


@pytest.mark.parametrize("stored", [None, {}, {"Packed": 3}])
def test_a_state_that_can_not_be_read_refuses_where_orders_are_in_it(
    stored: dict[str, int] | None,
) -> None:
    later = replace(PAYMENT, states=(*PAYMENT.states, "Packed"))
    assert {"Captured", "Declined"} < {*PAYMENT.states}
    assert checking.lost_states(later, PAYMENT) == {"Packed"}
    found = whys(checking.of_states(later, PAYMENT, stored))
    assert (
        found
        == {
            None: ["orders may be in the state Packed, which it can't read"],
            0: [],
            1: ["3 orders are in the state Packed, which it can't read"],
        }[None if stored is None else len(stored)]
    )
    (note,) = checking.of_states(PAYMENT, later, None)
    assert (note.refuses, note.why[:13]) == (False, "Packed is new")
    assert list(checking.of_states(PAYMENT, PAYMENT, None)) == []


def test_a_later_version_of_its_own_is_in_the_way_of_who_rebuilds_itself() -> None:
    for name, wire_type, refuses in (
        ("payment", "payment.captured.v2", False),
        ("loyalty", "points.awarded.v2", True),
    ):
        new = described(name)
        topic = f"{name}.forward"
        assert topic in asking.topics_of(new, from_start=True)
        assert topic not in asking.topics_of(new, from_start=False)
        (found,) = checking.of_log(new, {topic: Counter({wire_type: 1})})
        assert (found.refuses, wire_type in found.why) == (refuses, True)


def test_a_dead_letter_of_a_version_that_is_not_read_refuses_and_any_other_is_a_note() -> None:
    one = list(checking.of_parked(PAYMENT, 2, Counter({RESERVED: 2, "": 1})))
    assert [(r.refuses, r.why[:11]) for r in one] == [(False, "2 keys wait")]
    types = Counter({"stock.reserved.v2": 3})
    assert whys(checking.of_parked(PAYMENT, 1, types)) == [
        "3 dead letters are stock.reserved.v2, which is not read"
    ]
    assert list(checking.of_parked(PAYMENT, 0, Counter())) == []


@pytest.mark.parametrize("back", [False, True])
def test_a_migration_that_does_not_only_add_refuses_both_ways(*, back: bool) -> None:
    adds = {**PAYMENT.migrations, "9999": ("ALTER TABLE payments ADD COLUMN note TEXT",)}
    drops = {**PAYMENT.migrations, "9999": ("ALTER TABLE payments DROP COLUMN detail",)}

    def between(migrations: Any) -> list[DeployReason]:
        pair = PAYMENT, replace(PAYMENT, migrations=migrations)
        return list(checking.of_migrations(*(reversed(pair) if back else pair)))

    assert between(adds) == []
    (why,) = whys(between(drops))
    assert "9999 does not only add" in why
    assert "DROP COLUMN detail" in why
    before = replace(PAYMENT, version="")  # it would have to start on what it does not know
    later = replace(PAYMENT, migrations=adds)
    assert list(checking.of_migrations(before, later)) == []
    assert [why[:27] for why in whys(checking.of_migrations(later, before))] == [
        "NEW is of a release before "
    ]
    changed = {**PAYMENT.migrations, "0002": ("SELECT 1",)}
    assert whys(between(changed)) == ["0002 was changed after its release"]


class AnsweringInstances:
    """Answers with these pages, by host and path; another host does not answer."""

    def __init__(self, pages: dict[str, Any]) -> None:
        self.pages = pages

    def __call__(self, request: httpx.Request) -> httpx.Response:
        found = self.pages.get(f"{request.url.host}{request.url.path}")
        if found is None:
            raise httpx.ConnectError("refused")
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    pages: dict[str, Any] = {}
    mock, make = httpx.MockTransport(AnsweringInstances(pages)), httpx.Client

    def client(**more: Any) -> httpx.Client:
        return make(transport=mock, **more)

    monkeypatch.setattr(httpx, "Client", client)
    return pages


def test_each_instance_is_asked_what_runs(transport: dict[str, Any]) -> None:
    answer: dict[str, Any] = {
        "service": "order",
        "version": "1.0.0",
        "commit": "c" * 40,
        "started_at": "x",
    }
    answer |= {"writes": ["a.v1"], "reads": ["b.v1"], "knows": ["a.v1", "b.v1"]}  # as JSON has it
    transport.update({
        "good/version": answer,
        "other/version": {**answer, "service": "shipping"},
        "old/version": httpx.Response(404, json={}),
        "page/version": httpx.Response(200, text="<html>"),
        "list/version": [],
    })  # fmt: skip
    urls = [f"http://{name}" for name in ("good", "other", "old", "page", "list", "down")]
    found = list(asking.instances(Directory({"order": urls, "payment": []}, "t")))
    assert [(i.version, i.silent.partition(":")[0]) for i in found] == [
        ("1.0.0", ""),
        ("", "is shipping"),
        ("", ""),
        ("", "answers 200, and not what runs"),
        ("", "answers 200, and not what runs"),
        ("", "does not answer"),
        ("", "does not run"),
    ]
    assert (found[0].reads, found[0].commit) == (("b.v1",), "c" * 40)


def test_parked_messages_are_counted_by_type(monkeypatch: pytest.MonkeyPatch) -> None:
    parked = {"a": [RESERVED, "stock.reserved.v2"], "b": [""]}

    def get(_: Directory, service: str, path: str, **query: Any) -> Any:
        assert service == "payment"
        if path.endswith("/messages"):
            return [{"type": wire_type} for wire_type in parked[query["key"]]]
        return {"heads": [{"key": key} for key in [*parked][query["offset"] :]]}

    monkeypatch.setattr(Directory, "get", get)
    found = asking.parked(Directory({}, ""), "payment")
    assert found == (2, Counter({RESERVED: 1, "stock.reserved.v2": 1, "": 1}))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Payment of a release that has dropped a field which shipping reads, and a column."""
    folder = tmp_path_factory.mktemp("other")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("chassis", "shared_events", "payment_svc"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    events = folder / "shared_events" / "payment.py"
    text = events.read_text()
    assert "    provider_ref: Public\n" in text
    events.write_text(text.replace("    provider_ref: Public\n", '    provider_ref: Public = ""\n'))
    manifest = folder / "payment_svc" / "manifest.py"
    manifest.write_text(manifest.read_text().replace(PAYMENT.version, "7.0.0"))
    versions = folder / "payment_svc" / "migrations" / "versions"
    (versions / "0010_less.py").write_text(
        'from alembic import op\nrevision, down_revision = "0010", "0009"\n'
        'def upgrade() -> None:\n    op.execute("ALTER TABLE payments DROP COLUMN detail")\n'
    )
    return folder


@pytest.mark.long(3)
def test_other_code_is_read_as_it_is_and_the_command_says_why_it_may_not_go(other: Path) -> None:
    ended = saga("deploy-check", "payment", "--from", str(ROOT), "--to", str(other), "--offline")
    assert ended.code == 1, ended
    refused, verdict = ended.out.splitlines()
    assert refused.startswith("no    migration: 0010 does not only add, for the old code: ALTER")
    assert verdict == f"payment {PAYMENT.version} -> 7.0.0: may not go out: 1 reasons."
    as_json = saga(
        "deploy-check", "payment", "--from", str(other), "--to", str(other), "--offline", "--json"
    )
    assert (as_json.code, as_json.json) == (0, {"may_go": True, "reasons": []})


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("no-such-revision", "there is no file, checkout or revision"),
        (str(ROOT / "docs"), "has no payment_svc"),
        (str(ROOT / "README.md"), "is no archive"),
    ],
)
def test_what_is_no_release_is_a_usage_error(where: str, why: str) -> None:
    ended = saga("deploy-check", "payment", "--from", where, "--to", str(ROOT), "--offline")
    assert (ended.code, ended.err.count("\n"), why in ended.err) == (2, 1, True)
    assert saga("deploy-check", "payment", "--from", where).code == 2


def test_a_release_that_does_not_load_says_so(other: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(other, broken)
    (broken / "payment_svc" / "service.py").write_text("raise ValueError('no service')")
    ended = saga("deploy-check", "payment", "--from", str(broken), "--to", str(broken), "--offline")
    assert (ended.code, "no service" in ended.err, ended.err.count("\n")) == (2, True, 1)


@pytest.mark.parametrize("commit", ["0" * 40, None])
def test_code_that_is_not_here_is_held_against_what_it_says_alone(commit: str | None) -> None:
    other = running("shipping", commit=commit, version="9.0.0")
    near = neighbours.neighbours_of("payment", [other])
    assert not any(name.startswith("shipping") for name in {**near.contracts, **near.published})
    (note,) = near.notes
    which = "commit 0000000000" if commit else "version 9.0.0"
    assert (note.refuses, f"shipping runs {which}, which is not here" in note.why) == (False, True)


def test_code_that_is_here_is_read_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[tuple[str, str]]()

    def read_as(where: str, name: str) -> ServiceRelease:
        read.append((where, name))
        return described(name)

    monkeypatch.setattr(neighbours, "read", read_as)
    monkeypatch.setattr(neighbours, "_is_here", lambda commit: commit == "1" * 40)
    instances = [running("shipping"), running("shipping", commit="1" * 40, version="9.0.0")]
    near = neighbours.neighbours_of("payment", instances)
    assert {*near.contracts} == {"inventory", "shipping", "shipping (1111111111)"}
    assert [where for where, name in read if name == "shipping"] == [str(ROOT), "1" * 40]
    assert near.notes == []


async def _away(*_: Any) -> Any:
    raise TimeoutError


def test_a_log_that_can_not_be_read_refuses(
    transport: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "types_in", _away)
    monkeypatch.setattr(asking, "parked", lambda *_: (0, Counter()))
    urls = {f"SAGA_{spec.prefix}_URL": f"http://{spec.name}" for spec in BY_NAME.values()}
    transport.update({
        f"{name}/version": asdict(running(name, version=BY_NAME[name].version)) for name in BY_NAME
    })  # fmt: skip
    words = ("deploy-check", "payment", "--from", str(ROOT), "--to", str(ROOT), "--from-start")
    places = {"SAGA_OPERATOR_TOKEN": "t", "SAGA_KAFKA_BOOTSTRAP": "h:1"}
    ended = saga(*words, **urls, **places)
    assert (ended.code, ended.err) == (
        1,
        "saga: what is in the log can't be read: no answer in time\n",
    )
