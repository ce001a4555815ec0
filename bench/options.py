"""What `saga bench` was asked for, as options; what makes no sense ends the command with 2."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import command
from bench.registry import SCENARIOS
from bench.session import QUICK, Bench, BenchOptions
from saga_cli.terminal import fail, plain


def bench(
    names: Sequence[str],
    figures: Mapping[str, float | None],
    sizes: str,
    json: Path | None,
    *,
    quick: bool,
) -> None:
    if unknown := [name for name in names if name not in SCENARIOS]:
        fail(f"there is no scenario {plain(unknown[0])!r}; there are {', '.join(SCENARIOS)}")
    options = options_of({**figures, "sizes": numbers(sizes) if sizes else None}, quick=quick)
    command.bench(names, Bench(options, command.timed_printer()), json)


def options_of(given: Mapping[str, Any], *, quick: bool) -> BenchOptions:
    """None is what was not asked for."""
    asked = {name: value for name, value in given.items() if value is not None}
    return replace(QUICK if quick else BenchOptions(), **asked)


def numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        fail(f"{plain(text)!r} are no sizes such as 0,1000000")
    return tuple(map(int, parts))
