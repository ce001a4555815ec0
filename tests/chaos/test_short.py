"""A short trial: everything of `make chaos`, for less than a minute of faults."""

from typing import Final

import pytest

from chaos import trial
from chaos.plan import fast_paths
from chaos.trial import PARTS, TrialOptions

pytestmark = pytest.mark.long(90)
SEED: Final = 382


async def test_the_system_settles_and_all_books_agree_after_faults_of_every_track() -> None:
    """Loyalty, order and payment have all fast paths in it, inventory none, shipping one."""
    switched_on = fast_paths(SEED, PARTS.services)
    assert sorted(switched_on.values()) == ["all", "all", "all", "http", "none"]
    printed: list[str] = []
    verdict = await trial.run(TrialOptions(seed=SEED, seconds=30, rate=5), printed.append)
    story = "\n".join(printed)
    assert verdict.violations == [], story
    assert verdict.is_clean, story
    # There is much to judge, even where a slow machine has customers give up and faults come late.
    assert verdict.acknowledged > 30, story
    assert verdict.report.states["Confirmed"] > 10, story
    assert sum(verdict.faults.values()) >= 5, story
