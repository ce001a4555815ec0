"""A process's clock that stands still until a test moves it."""

import pytest

from chassis import clock


class StoppedClock:
    """`s` are its monotonic seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.s = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.s)
