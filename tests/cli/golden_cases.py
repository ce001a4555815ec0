"""The cases of the first golden log, read once: docs/process.md shows them."""

from functools import cache
from pathlib import Path
from typing import Final

from saga_cli.observed.cases import Case, file_cases
from tests.contract.golden_log import path_of

LOG: Final[Path] = path_of("0.2.0-alpha")


@cache
def golden() -> tuple[Case, ...]:
    unread: list[str] = []
    found = tuple(case for cases in file_cases(LOG, unread) for case in cases)
    assert unread == []
    return found


def golden_orders() -> list[Case]:
    return [case for case in golden() if case.is_order]
