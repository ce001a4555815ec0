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
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from saga_cli.stack.seed import seed
from saga_cli.topology import BY_NAME
from tests.support import releases
from tests.support.redelivery import rewind, send_all_again
from tests.support.servers import private_stack
from tests.support.upgrading import TODAY, Deployment, UnderLoad
from tests.support.waiting import until

CODE: Final = ("chassis", "shared_events", "guarantees", "saga_cli")
CHAIN: Final = tuple(BY_NAME)
BETWEEN: Final = 10
"""Orders that are acknowledged between two steps."""
WEEK: Final = 200
"""Orders that are acknowledged while a service is away."""
A_LONG_TIME_IN_SHORT: Final = {"ORDER_PATIENCE_S": "20", "ORDER_SLOW_ABOVE_S": "0"}
"""Deadlines pass while it is away, and orders are taken though none of them settles."""


@dataclass(frozen=True, slots=True)
class FutureChange:
    """What a release of the future has changed: new files, and texts in files with what stands there now."""

    texts: tuple[tuple[str, str, str], ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def made_in(self, folder: Path) -> Path:
        """Raises ValueError where this code has changed so that it can't be put in."""
        ignore = shutil.ignore_patterns("__pycache__")
        for name in (*CODE, *(spec.module for spec in BY_NAME.values())):
            shutil.copytree(TODAY / name, folder / name, ignore=ignore)
        for name, was, now in self.texts:
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
RULES: Final = "shipping_svc/domain.py"
PACKED: Final = '''
@dataclass(frozen=True, slots=True, kw_only=True)
class Packed(Approved):
    """Approved, and in a box."""

'''
READS_A_STATE: Final = (
    (
        RULES,
        "\n@dataclass(frozen=True, slots=True, kw_only=True)\nclass Leaving",
        f"{PACKED}\n@dataclass(frozen=True, slots=True, kw_only=True)\nclass Leaving",
    ),
    (RULES, "    | Approved\n", "    | Approved\n    | Packed\n"),
    (
        RULES,
        "case ShipmentApproved():",
        "case ShipmentApproved(box=box):\n            booked = _booked(state)",
    ),
    (
        RULES,
        "return Approved(**_booked(state))",
        "return Packed(**booked) if box else Approved(**booked)",
    ),
    (
        "shared_events/shipping.py",
        'leave."""\n\n    order_id: Public\n',
        'leave."""\n\n    order_id: Public\n    box: Public = ""\n',
    ),
    (
        "shipping_svc/manifest.py",
        '"Approved": "DispatchDue"',
        '"Approved": "DispatchDue", "Packed": "DispatchDue"',
    ),
    ("guarantees/protocol.py", "Approved Dispatching", "Approved Packed Dispatching"),
    ("guarantees/protocol.py", "Created Approved {", "Created Approved Packed {"),
)
"""It knows what an event with the new field leads to, and sends none."""
ENTERS_A_STATE: Final = (
    *READS_A_STATE,
    (
        RULES,
        "ShipmentApproved(order_id=message.order_id)",
        'ShipmentApproved(order_id=message.order_id, box="small")',
    ),
)
FUTURE: Final[Mapping[str, FutureChange]] = {
    "column": FutureChange(files={"payment_svc/migrations/versions/0010_note.py": COLUMN}),
    "field": FutureChange(
        (
            (
                "shared_events/values.py",
                "    unknown: Mapping[str, Any]",
                '    gift_note: Public = "none"\n    unknown: Mapping[str, Any]',
            ),
        )
    ),
    "event": FutureChange(
        (
            ("shared_events/payment.py", '"payment.declined.v1"', '"payment.declined.v2"'),
            ("shared_events/upcasting.py", "MappingProxyType({})", f"MappingProxyType({UPCASTER})"),
            ("guarantees/protocol.py", "payment.declined.v1", "payment.declined.v2"),
            ("payment_svc/manifest.py", "payment.declined.v1", "payment.declined.v2"),
        )
    ),
    "state-read": FutureChange(READS_A_STATE),
    "state": FutureChange(ENTERS_A_STATE),
}
"""An optional field of the order context, which all in the middle pass on; a column; a new version; and a
new state, which one release reads and the next one enters."""

RolloutSteps = Callable[[UnderLoad], None]


def rolled(load: UnderLoad, name: str, old: str, new: str) -> None:
    """One service goes from one release to another, where that is allowed, and orders go on.

    Of the two that it replaces one is killed, and what that had not committed is delivered again.
    """
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


def state_read_first(load: UnderLoad) -> None:
    """A new state: one release reads it, the next enters it, and there is no way back before the first."""
    load.await_more(BETWEEN)
    straight = load.deployment.check("shipping", "today", "state")
    assert "Packed is new, and the old code can't read it" in straight.out, straight
    rolled(load, "shipping", "today", "state-read")
    rolled(load, "shipping", "state-read", "state")
    load.await_more(5 * BETWEEN)
    until(lambda: load.deployment.check("shipping", "state", "today").code == 1, 60, "a new state")
    refused = load.deployment.check("shipping", "state", "today")
    assert "orders are in the state Packed, which it can't read" in refused.out, refused
    rolled(load, "shipping", "state", "state-read")
    assert load.deployment.check("shipping", "state-read", "today").code == 1


def away_for_a_week(load: UnderLoad) -> None:
    """Payment stays at the last release while all others go forward, and is away for a week of events.

    What a week does to it, in short: the deadlines of orders pass, and Kafka has forgotten where it was.
    """
    away, deployment = "payment", load.deployment
    load.await_more(BETWEEN)
    for name in CHAIN:
        if name != away:
            rolled(load, name, "last", "today")
    deployment.stop(away)
    load.await_more(WEEK)
    assert asyncio.run(rewind(deployment.services.addresses, [away]))[away] > 0
    deployment.start("last", [away])
    load.await_more(BETWEEN)
    rolled(load, away, "last", "today")


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """How releases follow each other: the one that runs at first, and the one that judges the end."""

    name: str
    old: str
    judge: str
    steps: RolloutSteps
    variables: Mapping[str, str] = field(default_factory=dict)


def cells() -> Iterator[MatrixCell]:
    for name in CHAIN:
        steps = alone(name, "last", "today")
        yield MatrixCell(f"{name} alone, from the last release", "last", "today", steps)
    steps = in_turn(CHAIN, "last", "today")
    yield MatrixCell("all in turn, from the last release", "last", "today", steps)
    others = tuple(name for name in CHAIN if name != "payment")
    yield MatrixCell("all but payment", "last", "today", in_turn(others, "last", "today"))
    steps = at_once("last", "today")
    yield MatrixCell("all at once, from the last release", "last", "today", steps)
    steps = in_turn((CHAIN[-1], CHAIN[0]), "today", "field")
    yield MatrixCell("a field of the order, at the ends", "today", "field", steps)
    yield MatrixCell("a column", "today", "column", alone("payment", "today", "column"))
    yield MatrixCell("a new version of an event", "today", "event", readers_first)
    yield MatrixCell("a new state", "today", "state", state_read_first)
    name = "payment away for a week"
    yield MatrixCell(name, "last", "today", away_for_a_week, A_LONG_TIME_IN_SHORT)


def run(cell: MatrixCell) -> tuple[str, list[str]]:
    """What customers were answered, and what is wrong at the end."""
    with tempfile.TemporaryDirectory() as folder, private_stack() as (services, _):
        codes = {
            "today": TODAY,
            "last": releases.unpacked_into(Path(folder, "last"), releases.newest()),
        }
        codes |= {name: change.made_in(Path(folder, name)) for name, change in FUTURE.items()}
        services.variables = cell.variables
        deployment = Deployment(services, codes, copies=2, dies=True)
        deployment.start(cell.old)
        seed(services.url)
        load = UnderLoad(deployment, judge=codes[cell.judge])
        began = time.monotonic()
        asyncio.run(load.take(cell.steps))
        took_s = time.monotonic() - began
        asyncio.run(send_all_again(services.addresses.kafka))
        tries = ", ".join(f"{count} x {what}" for what, count in load.customers.tries.most_common())
        seen = f"{len(load.customers.placed)} orders in {took_s:.0f} s, answers {tries}"
        return seen, load.violations()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="cells with this text in their names")
    wanted, failed = parser.parse_args().only, 0
    for cell in cells():
        if wanted not in cell.name:
            continue
        seen, found = run(cell)
        failed += bool(found)
        head = f"{cell.name}: {'NOT WELL' if found else 'well'}; {seen}"
        sys.stdout.write("\n  ".join([head, *found]) + "\n")
        sys.stdout.flush()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
