"""Edges: what a service published on which message, declared and as the log has it."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from guarantees.causes import CAUSES, Causes
from saga_cli.observed.cases import OR, Case, newest

P50, P95 = 0.5, 0.95
NEVER: Final = 0.0


class EdgeStatus(StrEnum):
    """What becomes of an edge when the declarations are held against the log."""

    DECLARED = "declared"
    """It is declared, and seen."""
    UNDECLARED = "undeclared"
    """It is seen, and nobody declared it."""
    UNSEEN = "unseen"
    """It is declared, and not in this log."""


@dataclass(frozen=True, slots=True)
class ObservedEdge:
    """`service` published `event` on `cause`, so many times; times are milliseconds between both.

    Where the cause is in no topic it is the time since the service's own event before; without one it is 0.
    """

    service: str
    cause: str
    event: str
    status: EdgeStatus
    count: int = 0
    p50_ms: float = NEVER
    p95_ms: float = NEVER
    max_ms: float = NEVER


EdgePlace = tuple[str, str, str]
"""Service, cause and event."""


@dataclass
class Flow:
    """Cases are added one after the other; `edges` then are those of all of them."""

    declared: Causes = field(default_factory=lambda: CAUSES)
    _hops: dict[EdgePlace, "array[float]"] = field(default_factory=dict)
    _counts: dict[EdgePlace, int] = field(default_factory=dict)

    def add(self, cases: Iterable[Case]) -> None:
        for case in cases:
            for step, cause in case.causes():
                place = (step.service, cause, newest(step.envelope.type))
                self._counts[place] = self._counts.get(place, 0) + 1
                hops = self._hops.setdefault(place, array("d"))
                if step.hop_ms is not None:
                    hops.append(step.hop_ms)

    def edges(self) -> list[ObservedEdge]:
        """By service and cause, in the order in which an order passes the services."""
        found = [self._edge(place, count) for place, count in self._counts.items()]
        seen = {place for edge in found for place in alternatives(edge)}
        found += [ObservedEdge(*p, EdgeStatus.UNSEEN) for p in self._places() if p not in seen]
        order = [*self.declared]
        return sorted(found, key=lambda e: (_rank(order, e.service), e.cause, e.event))

    def _edge(self, place: EdgePlace, count: int) -> ObservedEdge:
        service, cause, event = place
        declared = self.declared.get(service, {})
        is_declared = all(event in declared.get(name, ()) for name in cause.split(OR))
        hops = sorted(self._hops[place])
        times = (quantile(hops, P50), quantile(hops, P95), hops[-1] if hops else NEVER)
        return ObservedEdge(
            *place, EdgeStatus.DECLARED if is_declared else EdgeStatus.UNDECLARED, count, *times
        )

    def _places(self) -> Iterator[EdgePlace]:
        for service, causes in self.declared.items():
            yield from ((service, c, event) for c, types in causes.items() for event in types)


def alternatives(edge: ObservedEdge) -> Iterator[EdgePlace]:
    """The declared edges that a seen one may be."""
    yield from ((edge.service, name, edge.event) for name in edge.cause.split(OR))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else NEVER


def _rank(order: Sequence[str], service: str) -> int:
    return order.index(service) if service in order else len(order)
