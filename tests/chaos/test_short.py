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
    patient = TrialOptions(seed=SEED, seconds=30, rate=5, patience_s=900)  # nobody gives up
    verdict = await trial.run(patient, printed.append)
    story = "\n".join(printed)
    assert verdict.violations == [], story
    assert verdict.is_clean, story
    assert verdict.acknowledged > 100, story
    assert verdict.report.states["Confirmed"] > 20, story
    assert sum(verdict.faults.values()) >= 10, story
