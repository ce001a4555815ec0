"""The bench on real servers, small: nothing is lost, and its figures agree with each other."""

import json
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.__main__ import app
from bench.plan import REFUSED
from guarantees.services import BY_NAME
from saga_cli.stack import servers
from tests.support.prepared import prepared_folder

pytestmark = pytest.mark.long(50)
SCENARIOS = ("cost", "recovery", "fast-paths")


@pytest.fixture(scope="module")
def on_prepared_servers() -> Iterator[None]:
    """Its servers begin as all those of tests; it lets a SIGTERM end it, and this process does not."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "start", partial(servers.start, prepared=prepared_folder()))
        yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def found(on_prepared_servers: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `python -m bench` measures: as `saga bench` does, and the pages that it writes."""
    folder = tmp_path_factory.mktemp("bench")
    short = ["--quick", "--rate", "60", "--orders", "100", "--out", str(folder)]
    done = CliRunner().invoke(app, [*SCENARIOS, *short])
    assert done.exit_code == 0, done.output
    assert {path.name for path in folder.iterdir()} >= {"cost.png", "recovery.png", "tables.md"}
    document: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return document


def loads(found: dict[str, Any]) -> list[dict[str, Any]]:
    killed = found["results"]["recovery"]["by_service"].values()
    return [found["results"]["cost"]["measured"], *(each["measured"] for each in killed)]


def test_whatever_is_accepted_is_settled(found: dict[str, Any]) -> None:
    for report in (load["report"] for load in loads(found)):
        assert report["unsettled"] == 0
        assert report["confirmed"] + sum(report["cancelled"].values()) == report["accepted"] > 0
        assert sum(report["answers"].values()) == report["offered"]
        assert set(report["cancelled"]) <= REFUSED


def test_a_closed_loop_confirms_nine_of_ten(found: dict[str, Any]) -> None:
    report = found["results"]["cost"]["measured"]["report"]
    assert report["confirmed"] == report["offered"] * 9 // 10


def test_every_process_and_every_store_is_metered(found: dict[str, Any]) -> None:
    usage = found["results"]["cost"]["measured"]["usage"]
    assert set(usage["cpu_s"]) == set(BY_NAME) | {"kafka", "postgres", "redis", "generator"}
    assert all(spent > 0 for spent in usage["cpu_s"].values())
    assert all(held > 0 for held in usage["memory_mb"].values())
    assert all(usage["bytes"][name] > 0 for name in ("kafka", "postgres wal", "redis", "wire"))


def test_a_fast_path_is_measured_between_two_systems_under_the_same_loads(
    found: dict[str, Any],
) -> None:
    ((path, pairs),) = found["results"]["fast-paths"]["pairs"].items()
    assert (path, len(pairs)) == ("local-waiters", 1)
    for one in pairs[0]:
        assert one["burst"]["report"]["accepted"] == found["options"]["orders"]
        assert one["quiet"]["report"]["unsettled"] == 0
        assert one["alone_ms"] > 0


def test_the_document_says_on_what_it_was_measured(found: dict[str, Any]) -> None:
    assert set(found) == {"machine", "options", "results"}
    assert found["machine"]["cores"] >= 1
    assert found["options"]["rate"] == 60
