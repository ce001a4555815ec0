"""Checks and writes as arguments of the one script that compares and writes (see commit.lua)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

COMMIT: Final = (Path(__file__).parent / "commit.lua").read_text()
NOTHING: Final = 0
"""What a check expects of a field or entry that is not there; a counter of 0 need not be written."""


@dataclass(slots=True)
class Script:
    """What has to be so, and what is written then; all of it or nothing."""

    epoch_key: str
    epoch: str
    _keys: dict[str, int] = field(default_factory=dict)
    _checks: list[Any] = field(default_factory=list)
    _writes: list[Any] = field(default_factory=list)
    _write_count: int = 0

    def __post_init__(self) -> None:
        self._number_of(self.epoch_key)

    def check(self, command: str, key: str, argument: Any, expected: Any) -> None:
        """`command` takes the key, and the argument unless it is ""; `expected` is compared as text."""
        self._checks += (command, self._number_of(key), argument, expected)

    def write(self, command: str, key: str, *arguments: Any) -> None:
        self._write_count += 1
        self._writes += (command, self._number_of(key), len(arguments), *arguments)

    @property
    def is_empty(self) -> bool:
        return not self._checks and not self._writes

    def arguments(self) -> tuple[Any, ...]:
        """As EVAL takes them, behind the script's text."""
        counts = (len(self._checks) // 4, self._write_count)
        return (len(self._keys), *self._keys, self.epoch, *counts, *self._checks, *self._writes)

    def _number_of(self, key: str) -> int:
        return self._keys.setdefault(key, len(self._keys) + 1)
