"""A short trial: everything of `make chaos`, for less than a minute of faults."""

import pytest

from chaos import trial
from chaos.trial import TrialOptions

pytestmark = [pytest.mark.timeout(600), pytest.mark.long(90)]


async def test_the_system_settles_and_all_books_agree_after_faults_of_every_lane() -> None:
    said: list[str] = []
    verdict = await trial.run(TrialOptions(seed=382, seconds=40, rate=6), said.append)
    story = "\n".join(said)
    assert verdict.violations == [], story
    assert verdict.is_clean, story
    assert verdict.acknowledged > 100, story
    assert verdict.report.states["Confirmed"] > 20, story
    assert sum(verdict.faults.values()) >= 10, story
