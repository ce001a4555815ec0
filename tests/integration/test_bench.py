"""The bench on real servers, small: nothing is lost, and its figures agree with each other."""

import json
import subprocess
import sys
from typing import Any

import pytest

from bench.plan import REFUSED
from guarantees.services import BY_NAME

pytestmark = pytest.mark.long(50)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    words = ["cost", "recovery", "fast-paths", "--quick", "--rate", "60", "--out", str(folder)]
    command = [sys.executable, "-m", "bench", *words]  # `saga bench` and the pages it writes
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
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
