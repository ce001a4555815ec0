"""The rules of a choreography. Each says of every place that breaks it, in one line, what is wrong there."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Final

from saga_cli.lint.declarations import Declarations

FIRST: Final = 0


@dataclass(frozen=True, slots=True)
class LintFinding:
    """`rule` is its name, `about` the event or service."""

    rule: str
    about: str
    why: str


def unread(of: Declarations) -> Iterator[LintFinding]:
    """An event that nobody consumes, though it is not declared as a fact of its owner."""
    for name, event in of.events.items():
        folded = f"{event.owner}.{event.lane}" in {t for s in of.services.values() for t in s.folds}
        if not event.is_private and not of.readers(name):
            yield LintFinding(
                "unread", name, f"is on the lane {event.lane}, and nobody consumes it"
            )
        elif event.is_private and event.lane != "facts" and not folded:
            yield LintFinding(
                "unread", name, f"is on {event.owner}.{event.lane}, which nobody folds"
            )


def unpublished(of: Declarations) -> Iterator[LintFinding]:
    """An event that is waited for, and that its owner does not publish."""
    for service in of.services.values():
        for name in service.consumes:
            owner = of.events[name].owner
            if name not in of.services[owner].publishes:
                yield LintFinding(
                    "unpublished", name, f"{service.name} waits for it, {owner} never says it"
                )


def foreign_fact(of: Declarations) -> Iterator[LintFinding]:
    """A service that acts on what another publishes for the log alone, or as data."""
    for service in of.services.values():
        for name in service.consumes:
            event = of.events[name]
            if event.is_private and event.owner != service.name:
                yield LintFinding(
                    "foreign-fact", name, f"{service.name} acts on a private fact of {event.owner}"
                )


def uncompensated(of: Declarations) -> Iterator[LintFinding]:
    """A service that takes orders on, and has no way back that its neighbour reads."""
    steps = {step.service: (number, step) for number, step in enumerate(of.steps)}
    for name, service in of.services.items():
        if not any(of.events[e].lane == "forward" for e in service.publishes):
            continue
        if name not in steps:
            yield LintFinding(
                "uncompensated", name, "publishes forward events, and declares no step"
            )
            continue
        number, step = steps[name]
        caused = {e for cause in of.causes.get(name, {}) for e in of.led_to(name, cause)}
        if step.back not in service.publishes or step.back not in caused:
            yield LintFinding("uncompensated", step.forward, f"{name} never publishes {step.back}")
        elif number > FIRST and not of.readers(step.back):
            yield LintFinding(
                "uncompensated", step.forward, f"nobody reads {step.back}, which compensates it"
            )


def endless(of: Declarations) -> Iterator[LintFinding]:
    """An event of the chain after which no order is ever settled, or a reader does nothing."""
    for name, event in of.events.items():
        if not event.is_of_the_chain:
            continue
        idle = [reader for reader in of.readers(name) if not any(of.led_to(reader, name))]
        if idle:
            yield LintFinding(
                "endless", name, f"{idle[0]} consumes it, and never publishes anything on it"
            )
        elif of.readers(name) and not of.ends & _reached(of, name):
            yield LintFinding("endless", name, "no event that settles an order follows from it")


def _reached(of: Declarations, start: str) -> set[str]:
    found, left = {start}, [start]
    while left:
        new = of.next_to(left.pop()) - found
        found |= new
        left += new
    return found


def unlimited(of: Declarations) -> Iterator[LintFinding]:
    """A cycle in which no event counts its attempts: nothing would ever end it."""
    counting = {name for name, event in of.events.items() if event.counts}
    graph = {name: of.next_to(name) - counting for name in of.events if name not in counting}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = error.args[1][::-1]
        yield LintFinding("unlimited", cycle[0], f"no attempt is counted in {' > '.join(cycle)}")


def breaking(of: Declarations) -> Iterator[LintFinding]:
    """A schema that has changed so that a consumer of before, or of now, can't read it."""
    for change in of.changes:
        if change.breaks:
            readers = ", ".join(of.readers(change.wire_type)) or "whoever reads the log"
            yield LintFinding(
                "breaking", change.wire_type, f"{change.what}: {change.breaks} ({readers})"
            )


RULES: Final[Mapping[str, Callable[[Declarations], Iterator[LintFinding]]]] = {
    "unread": unread,
    "unpublished": unpublished,
    "foreign-fact": foreign_fact,
    "uncompensated": uncompensated,
    "endless": endless,
    "unlimited": unlimited,
    "breaking": breaking,
}


def findings(of: Declarations) -> list[LintFinding]:
    """Of all rules, in their order."""
    return [finding for rule in RULES.values() for finding in rule(of)]
