"""The plan of a trial follows from its seed and leaves nothing out."""

import itertools
from collections.abc import Sequence

import pytest

from chaos.plan import TRACKS, PlannedFault, fast_paths, plan, track_of
from chaos.trial import PARTS
from chassis.process.settings import FastPath
from tests.support.saga import saga

SEEDS = range(20)


def of_track(faults: Sequence[PlannedFault], track: int) -> list[PlannedFault]:
    return [fault for fault in faults if track_of(fault) == track]


def test_a_seed_makes_one_plan_and_another_seed_another() -> None:
    assert plan(7, 300, PARTS) == plan(7, 300, PARTS)
    assert len({str(plan(seed, 300, PARTS)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seconds", [45, 300])
def test_every_fault_is_over_when_the_time_is(seconds: float) -> None:
    for seed in SEEDS:
        faults = plan(seed, seconds, PARTS)
        assert faults
        assert max(fault.at_s + fault.lasts_s for fault in faults) <= seconds


def test_five_minutes_have_every_kind_and_a_service_that_is_away_for_a_minute() -> None:
    for seed in SEEDS:
        faults = plan(seed, 300, PARTS)
        assert {fault.kind for fault in faults} == {kind for track in TRACKS for kind in track}
        assert max(f.lasts_s for f in faults if f.kind == "stop a service") == 60


@pytest.mark.parametrize("track", range(len(TRACKS)))
def test_faults_of_a_track_come_one_after_the_other(track: int) -> None:
    for seed in SEEDS:
        faults = of_track(plan(seed, 300, PARTS), track)
        for earlier, later in itertools.pairwise(faults):
            assert earlier.at_s + earlier.lasts_s < later.at_s


def test_faults_of_different_tracks_meet() -> None:
    faults = plan(7, 300, PARTS)
    processes, servers = of_track(faults, 0), of_track(faults, 2)
    assert any(p.at_s < s.at_s < p.at_s + p.lasts_s for p in processes for s in servers)


def test_links_are_broken_only_where_there_are_some() -> None:
    for seed in SEEDS:
        for fault in plan(seed, 300, PARTS):
            for name in fault.targets if fault.ends else ():
                assert set(fault.ends) <= set(PARTS.talks_to[name]), fault


def test_a_seed_gives_all_services_all_fast_paths_or_none_or_each_its_own() -> None:
    drawn = [fast_paths(seed, PARTS.services) for seed in range(50)]
    assert drawn == [fast_paths(seed, PARTS.services) for seed in range(50)]
    trials = [set(paths.values()) for paths in drawn]
    assert {"all"} in trials
    assert {"none"} in trials
    assert any(len(settings) > 2 for settings in trials)
    for service in PARTS.services:
        settings = {paths[service] for paths in drawn}
        assert {"all", "none"} < settings
        assert {path for each in settings - {"all", "none"} for path in each.split(",")} == set(
            FastPath
        )


@pytest.mark.parametrize(
    "words", [("--seconds", "5"), ("--rate", "0"), ("--seed", "-1"), ("--seed", "x"), ("more",)]
)
def test_a_bad_option_is_refused_with_2(words: tuple[str, ...]) -> None:
    ended = saga("chaos", *words)
    assert ended.code == 2
    assert ended.out == ""
