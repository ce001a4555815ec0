"""The releases of the future that `make upgrade-matrix` runs: each is still made of this code."""

from pathlib import Path

import pytest

from saga_cli.deploy import checking, neighbours
from saga_cli.deploy.released import described
from tests.upgrade_matrix import FUTURE, VERSION, cells


@pytest.mark.parametrize("name", FUTURE)
def test_a_change_can_be_put_in(name: str, tmp_path: Path) -> None:
    made = FUTURE[name].made_in(tmp_path)
    assert VERSION in (made / "shipping_svc" / "manifest.py").read_text("utf-8")


@pytest.mark.long(2)
def test_one_reads_the_new_state_before_another_enters_it(tmp_path: Path) -> None:
    first = neighbours.read(str(FUTURE["state-read"].made_in(tmp_path / "first")), "shipping")
    today = described("shipping")
    assert {*first.states} - {*today.states} == {"Packed"}
    assert list(checking.of_migrations(today, first)) == []
    (note,) = checking.of_states(today, first, None)
    assert not note.refuses
    (refused,) = checking.of_states(first, today, {"Packed": 1})
    assert refused.refuses


def test_each_way_of_a_rollout_has_a_name_of_its_own() -> None:
    names = [cell.name for cell in cells()]
    assert len(names) == len({*names}) >= 12
    known = {"last", "today", *FUTURE}
    assert {release for cell in cells() for release in (cell.old, cell.judge)} <= known
