"""The long form of tests/integration/test_upgrade.py: `make upgrade-matrix`, some minutes.

Releases of the past and of the future run beside today's code, in every order that a rollout may take. Those
of the future are this code with one change each, of a kind that docs/evolution.md allows. Each cell has
servers of its own; before each step `saga deploy-check` has to allow it.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from saga_cli.stack.seed import seed
from saga_cli.topology import BY_NAME
from tests.support import releases
from tests.support.servers import private_stack
from tests.support.upgrading import TODAY, Deployment, UnderLoad

CODE: Final = ("chassis", "shared_events", "guarantees", "saga_cli")
CHAIN: Final = tuple(BY_NAME)
BETWEEN: Final = 10
"""Orders that are acknowledged between two steps."""


@dataclass(frozen=True, slots=True)
class FutureChange:
    """What a release of the future has changed: texts in files, and new files."""

    texts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def made_in(self, folder: Path) -> Path:
        """Raises ValueError where this code has changed so that it can't be put in."""
        ignore = shutil.ignore_patterns("__pycache__")
        for name in (*CODE, *(spec.module for spec in BY_NAME.values())):
            shutil.copytree(TODAY / name, folder / name, ignore=ignore)
        for name, (was, now) in self.texts.items():
            text = (folder / name).read_text("utf-8")
            if was not in text:
                raise ValueError(f"{name} has no {was!r}")
            (folder / name).write_text(text.replace(was, now), "utf-8")
        for spec in BY_NAME.values():
            manifest = folder / spec.module / "manifest.py"
            manifest.write_text(manifest.read_text("utf-8").replace(spec.version, VERSION), "utf-8")
        for name, text in self.files.items():
            (folder / name).write_text(text, "utf-8")
        return folder


VERSION: Final = "9.0.0"
"""Of all services of a release of the future."""
COLUMN: Final = """from alembic import op
revision, down_revision = "0010", "0009"
def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN note TEXT")
"""
UPCASTER: Final = '{"payment.declined.v1": lambda fields: {**fields, "code": "unknown"}}'
FUTURE: Final[Mapping[str, FutureChange]] = {
    "column": FutureChange(files={"payment_svc/migrations/versions/0010_note.py": COLUMN}),
    "field": FutureChange(
        texts={
            "shared_events/values.py": (
                "    unknown: Mapping[str, Any]",
                '    gift_note: Public = "none"\n    unknown: Mapping[str, Any]',
            )
        }
    ),
    "event": FutureChange(
        texts={
            "shared_events/payment.py": ('"payment.declined.v1"', '"payment.declined.v2"'),
            "shared_events/upcasting.py": ("MappingProxyType({})", f"MappingProxyType({UPCASTER})"),
            "guarantees/protocol.py": ("payment.declined.v1", "payment.declined.v2"),
            "payment_svc/manifest.py": ("payment.declined.v1", "payment.declined.v2"),
        }
    ),
}
"""An optional field of the order context, which all in the middle pass on; a column; a new version."""

RolloutSteps = Callable[[UnderLoad], None]


def rolled(load: UnderLoad, name: str, old: str, new: str) -> None:
    """One service goes from one release to another, where that is allowed, and orders go on."""
    ended = load.deployment.check(name, old, new)
    assert ended.code == 0, f"{name} {old} -> {new}: {ended.out}{ended.err}"
    load.deployment.roll(name, new)
    load.await_more(BETWEEN)


def alone(name: str, old: str, new: str) -> RolloutSteps:
    """Forward and back, with all others as they are."""

    def steps(load: UnderLoad) -> None:
        load.await_more(BETWEEN)
        rolled(load, name, old, new)
        rolled(load, name, new, old)

    return steps


def in_turn(names: tuple[str, ...], old: str, new: str) -> RolloutSteps:
    """Forward one after the other, then back in the reverse order."""

    def steps(load: UnderLoad) -> None:
        load.await_more(BETWEEN)
        for name in names:
            rolled(load, name, old, new)
        for name in reversed(names):
            rolled(load, name, new, old)

    return steps


def at_once(old: str, new: str) -> RolloutSteps:
    """All of them come up, then all of the others go down; and back."""

    def steps(load: UnderLoad) -> None:
        load.await_more(BETWEEN)
        for release in (new, old):
            load.deployment.start(release)
            for name in CHAIN:
                load.deployment.keep(name, release)
            load.await_more(BETWEEN)

    return steps


def readers_first(load: UnderLoad) -> None:
    """A new version of an event: its publisher waits, and its readers do not go back before it."""
    load.await_more(BETWEEN)
    assert load.deployment.check("payment", "today", "event").code == 1
    rolled(load, "inventory", "today", "event")
    rolled(load, "payment", "today", "event")
    load.await_more(5 * BETWEEN)
    refused = load.deployment.check("inventory", "event", "today")
    assert refused.code == 1, refused
    assert "payment.declined.v2" in refused.out
    rolled(load, "payment", "event", "today")


def cells() -> Iterator[tuple[str, str, str, RolloutSteps]]:
    """Name, the release that runs at first, the one that judges the end, and the steps."""
    for name in CHAIN:
        yield f"{name} alone, from the last release", "last", "today", alone(name, "last", "today")
    yield "all in turn, from the last release", "last", "today", in_turn(CHAIN, "last", "today")
    others = tuple(name for name in CHAIN if name != "payment")
    yield "all but payment", "last", "today", in_turn(others, "last", "today")
    yield "all at once, from the last release", "last", "today", at_once("last", "today")
    ends = (CHAIN[-1], CHAIN[0])
    yield "a field of the order, at the ends", "today", "field", in_turn(ends, "today", "field")
    yield "a column", "today", "column", alone("payment", "today", "column")
    yield "a new version of an event", "today", "event", readers_first


def run(old: str, judge: str, steps: RolloutSteps) -> list[str]:
    """What is wrong at the end of a cell."""
    with tempfile.TemporaryDirectory() as folder, private_stack() as (services, _):
        codes = {
            "today": TODAY,
            "last": releases.unpacked_into(Path(folder, "last"), releases.newest()),
        }
        codes |= {name: change.made_in(Path(folder, name)) for name, change in FUTURE.items()}
        deployment = Deployment(services, codes)
        deployment.start(old)
        seed(services.url)
        load = UnderLoad(deployment, judge=codes[judge])
        asyncio.run(load.take(steps))
        return load.violations()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="cells with this text in their names")
    wanted, failed = parser.parse_args().only, 0
    for name, old, judge, steps in cells():
        if wanted not in name:
            continue
        found = run(old, judge, steps)
        failed += bool(found)
        sys.stdout.write("\n  ".join([f"{name}: {'NOT WELL' if found else 'well'}", *found]) + "\n")
        sys.stdout.flush()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
