"""What `saga bench` was asked for, as options; what makes no sense ends the command with 2."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saga_cli.bench import command
from saga_cli.bench.bench import QUICK, Bench, Options
from saga_cli.bench.registry import SCENARIOS
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
    given: dict[str, Any] = {name: value for name, value in figures.items() if value is not None}
    if sizes:
        given["sizes"] = numbers(sizes)
    options = replace(QUICK if quick else Options(), **given)
    command.bench(names, Bench(options, command.telling()), json)


def numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        fail(f"{plain(text)!r} are no sizes such as 0,1000000")
    return tuple(map(int, parts))
