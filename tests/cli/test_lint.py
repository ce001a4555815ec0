"""Each rule of `saga lint` finds the declaration that breaks it, and none breaks on what is declared."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from saga_cli.lint import command, declarations
from saga_cli.lint.declarations import Declarations, here
from saga_cli.lint.rules import RULES, findings
from saga_cli.schema.comparing import FORWARD, SchemaChange
from tests.support.saga import saga

DECLARED: Final = here()


def without(names: tuple[str, ...], *gone: str) -> tuple[str, ...]:
    return tuple(name for name in names if name not in gone)


def service(name: str, **changes: Any) -> Declarations:
    changed = replace(DECLARED.services[name], **changes)
    return replace(DECLARED, services={**DECLARED.services, name: changed})


def deaf(name: str, wire_type: str) -> Declarations:
    """A service that does not consume an event any more."""
    return service(name, consumes=without(DECLARED.services[name].consumes, wire_type))


def mute(name: str, wire_type: str) -> Declarations:
    """A service that does not publish an event any more."""
    return service(name, publishes=without(DECLARED.services[name].publishes, wire_type))


def answers(name: str, **causes: tuple[str, ...]) -> Declarations:
    """A service that publishes something else on a message; `_` stands for a point in its name."""
    named = {cause.replace("__", "."): types for cause, types in causes.items()}
    changed = {**DECLARED.causes[name], **named}
    return replace(DECLARED, causes={**DECLARED.causes, name: changed})


BROKEN: Final[dict[str, tuple[Callable[[], Declarations], str, str]]] = {
    "unread": (
        lambda: deaf("shipping", "payment.captured.v1"),
        "unread",
        "payment.captured.v1: is on the lane forward, and nobody consumes it",
    ),
    "details that nobody keeps": (
        lambda: service("payment", folds=()),
        "unread",
        "order.payment_details_given.v1: is on order.payment-details, which nobody folds",
    ),
    "unpublished": (
        lambda: mute("payment", "payment.captured.v1"),
        "unpublished",
        "payment.captured.v1: shipping waits for it, payment never says it",
    ),
    "foreign fact": (
        lambda: service("loyalty", consumes=("stock.committed.v1",)),
        "foreign-fact",
        "stock.committed.v1: loyalty acts on a private fact of inventory",
    ),
    "no step": (
        lambda: replace(DECLARED, steps=DECLARED.steps[:2]),
        "uncompensated",
        "payment: publishes forward events, and declares no step",
    ),
    "no compensation": (
        lambda: mute("payment", "payment.refunded.v1"),
        "uncompensated",
        "payment.captured.v1: payment never publishes payment.refunded.v1",
    ),
    "a compensation that nothing leads to": (
        lambda: answers("payment", RefundSucceeded=()),
        "uncompensated",
        "payment.captured.v1: payment never publishes payment.refunded.v1",
    ),
    "a compensation that nobody reads": (
        lambda: deaf("inventory", "payment.refunded.v1"),
        "uncompensated",
        "payment.captured.v1: nobody reads payment.refunded.v1, which compensates it",
    ),
    "a reader that does nothing": (
        lambda: answers("loyalty", shipment__created__v1=()),
        "endless",
        "shipment.created.v1: loyalty consumes it, and never publishes anything on it",
    ),
    "no end": (
        lambda: replace(DECLARED, ends=frozenset()),
        "endless",
        "order.placed.v1: no event that settles an order follows from it",
    ),
    "unlimited": (
        lambda: answers("shipping", points__rejected__v1=("shipment.created.v1",)),
        "unlimited",
        "no attempt is counted in ",
    ),
    "breaking": (
        lambda: replace(
            DECLARED, changes=(SchemaChange("payment.captured.v1", "x is gone", FORWARD),)
        ),
        "breaking",
        "payment.captured.v1: x is gone: old code can't read new events (shipping)",
    ),
}


def test_what_is_declared_has_no_fault() -> None:
    assert findings(DECLARED) == []
    ended = saga("lint")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == ["5 services, 41 events, 7 rules: 0 findings."]


@pytest.mark.parametrize("case", BROKEN)
def test_a_rule_finds_the_declaration_that_breaks_it(case: str) -> None:
    made, rule, why = BROKEN[case]
    found = [finding for finding in findings(made()) if finding.rule == rule]
    assert any(why in f"{finding.about}: {finding.why}" for finding in found), found


def test_a_cycle_that_counts_its_attempts_is_no_fault() -> None:
    again = answers("shipping", points__rejected__v1=("shipment.created.v1",))
    counted = replace(again.events["points.rejected.v1"], counts=True)
    limited = replace(again, events={**again.events, "points.rejected.v1": counted})
    assert [finding.rule for finding in findings(limited)].count("unlimited") == 0


def test_each_rule_is_broken_by_a_case() -> None:
    assert {rule for _, rule, _ in BROKEN.values()} == RULES.keys()


def test_a_finding_is_one_line_and_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = deaf("shipping", "payment.captured.v1")
    monkeypatch.setattr(declarations, "here", lambda _changes: broken)
    ended = saga("lint")
    assert ended.code == 1
    assert ended.out.startswith("unread: payment.captured.v1: is on the lane forward, and nobody")
    first = saga("lint", "--json").json[0]
    assert first.keys() == {"rule", "about", "why"}
    assert all(f"{rule}: " in (command.lint.__doc__ or "") for rule in RULES)


def test_a_vocabulary_that_is_not_there_is_one_line_and_exit_code_2() -> None:
    ended = saga("lint", "--against", "no-such-file")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
