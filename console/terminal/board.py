"""What a board shows: where orders stand, what fails, and who must act, as rows of plain text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from console.model import EdgeKind, EdgeStanding, FlowStanding
from console.queries import Queries
from console.web.asking import ServiceDirectory, ServiceInstance
from console.web.failures import FailureReport, report
from console.web.map_pages import broken_circuits, parked_keys, silent_services, waiting_most
from console.web.rendering import milliseconds, short
from guarantees.durations import lasting

WAITING: Final = ("must act", "on", "orders", "longest wait", "passed", "median", "p99")
FAILING: Final = ("service", "what", "event", "error", "orders", "first seen", "last seen")

BoardRow = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """All of it at one moment."""

    moment: datetime
    standing: FlowStanding
    instances: Sequence[ServiceInstance]
    failures: FailureReport

    @classmethod
    async def read(
        cls, queries: Queries, services: ServiceDirectory, token: str, moment: datetime
    ) -> "Board":
        """Raises TransientError while the console's database is away; a service's silence is shown."""
        instances = await services.instances()
        standing = await queries.standing()
        failures = await report(queries, services, token, standing)
        return cls(moment, standing, instances, failures)

    @property
    def summary(self) -> str:
        """Orders by state, what is parked, which circuits are not closed and who does not answer."""
        states = (f"{count} {state.lower()}" for state, count in self.standing.states.items())
        oldest = self.standing.oldest_in_flight
        flying = f"{self.standing.in_flight} in flight"
        if oldest is not None:
            flying += f", the oldest for {self._since(oldest)}"
        parked = sum(parked_keys(self.instances).values())
        return "  |  ".join(
            [
                flying,
                *states,
                *([f"! {parked:,} parked"] if parked else []),
                *(
                    f"! circuit {state}: {provider} of {service}"
                    for service, provider, state in _once(broken_circuits(self.instances))
                ),
                *(f"! no answer: {name}" for name in silent_services(self.instances)),
                *(f"! failures unknown: {why}" for why in self.failures.silent.values()),
            ]
        )

    @property
    def waiting(self) -> list[BoardRow]:
        """In the columns of WAITING: where orders wait, the longest wait first, timers last."""
        return [self._waiting(each) for each in waiting_most(self.standing)]

    @property
    def failing(self) -> list[BoardRow]:
        """In the columns of FAILING: a row for each group, in the order of the report's groups."""
        return [
            (
                group.newest.service,
                group.newest.kind,
                short(group.newest.event),
                group.headline,
                f"{len(group.failures):,}",
                f"{self._since(group.first)} ago",
                f"{self._since(group.newest.last)} ago",
            )
            for group in self.failures.groups
        ]

    def _waiting(self, stands: EdgeStanding) -> BoardRow:
        edge = stands.edge
        who = {
            EdgeKind.TIMER: f"nobody: {edge.target} waits",
            EdgeKind.CALL: f"{edge.provider}, asked by {edge.target}",
        }.get(edge.kind, edge.target)
        back = " (backward)" if edge.kind is EdgeKind.BACKWARD else ""
        return (
            who,
            f"{edge.what or short(edge.event)}{back}",
            str(stands.waiting),
            self._since(stands.oldest_since) if stands.oldest_since else "-",
            f"{stands.rate:.1f}/s",
            milliseconds(stands.median_ms),
            milliseconds(stands.p99_ms),
        )

    def _since(self, at: datetime) -> str:
        return lasting(max(0.0, (self.moment - at).total_seconds()))


def _once(found: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return list(dict.fromkeys(found))
