"""Failures in groups: what is parked, and calls that are retried, by service, event and error.

Two errors are of one group when they differ in numbers and ids alone. All of it is asked from the services'
operators' routes; nothing is kept.
"""

import asyncio
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from console.model import EdgeKind, EdgeStanding, Filter, FlowStanding
from console.queries import Queries
from console.web.asking import NoAnswerError, ServiceDirectory
from guarantees.services import BY_NAME

SLOW: Final = timedelta(seconds=2)
"""An order that waits so long for a call may be one whose call is retried."""
SAMPLE: Final = 100
"""So many orders a service is asked about for each kind of call: the newest that have waited so long."""
AT_ONCE: Final = 10
EXAMPLES: Final = 5
VARIABLE: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\d+")
FailureKind = Literal["parked", "retried"]
RepairKind = Literal["redrive", "discard", "expedite", "resolve"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One parked key, or one order whose call failed."""

    service: str
    kind: FailureKind
    event: str
    error: str
    key: str
    first: datetime
    last: datetime
    messages: int = 1
    head: str = ""
    """Of what is parked, the id of the key's first message."""
    needs_attention: bool = False
    resolvable: tuple[str, ...] = ()
    """Of a call, the outcomes that may be recorded for it by hand."""
    with_reference: tuple[str, ...] = ()
    """Those of them that take the provider's reference."""

    @property
    def group(self) -> str:
        """The id of its group."""
        error = VARIABLE.sub("#", self.error.lower())
        text = f"{self.service}\n{self.kind}\n{self.event}\n{error}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """`failures` begin with the oldest; `error` is that of the newest."""

    id: str
    failures: tuple[Failure, ...]

    @property
    def newest(self) -> Failure:
        return max(self.failures, key=lambda failure: failure.last)

    @property
    def first(self) -> datetime:
        return self.failures[0].first

    @property
    def headline(self) -> str:
        """The first line of the error, for a list: a database's goes on with the row that it refuses."""
        return self.newest.error.partition("\n")[0]

    @property
    def messages(self) -> int:
        return sum(failure.messages for failure in self.failures)

    @property
    def examples(self) -> tuple[str, ...]:
        return tuple(failure.key for failure in self.failures[:EXAMPLES])

    @property
    def actions(self) -> tuple[RepairKind, ...]:
        """What may be done about it, the usual one first."""
        if self.newest.kind == "parked":
            return ("redrive", "discard")
        return ("expedite", "resolve") if self.newest.resolvable else ("expedite",)


@dataclass(frozen=True, slots=True)
class FailureReport:
    """`silent` says of services that do not say why; `sampled` for whom only some orders were asked about."""

    groups: tuple[FailureGroup, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    sampled: Mapping[str, str] = field(default_factory=dict)

    def group(self, group_id: str) -> FailureGroup | None:
        return next((group for group in self.groups if group.id == group_id), None)


def grouped(failures: Iterable[Failure]) -> tuple[FailureGroup, ...]:
    """The largest first."""
    by_id: dict[str, list[Failure]] = defaultdict(list)
    for failure in failures:
        by_id[failure.group].append(failure)
    groups = [
        FailureGroup(id_, tuple(sorted(each, key=lambda f: (f.first, f.key))))
        for id_, each in by_id.items()
    ]
    return tuple(sorted(groups, key=lambda g: (-len(g.failures), g.id)))


async def report(
    queries: Queries,
    services: ServiceDirectory,
    token: str,
    standing: FlowStanding | None = None,
) -> FailureReport:
    """What fails now, as far as the services say; `standing` is read where it is not given."""
    asking = FailureSearch(services, token)
    parked = await asyncio.gather(*map(asking.parked, BY_NAME))
    retried = await asking.retried(queries, standing)
    return FailureReport(grouped([*_flat(parked), *retried]), asking.silent, asking.sampled)


@dataclass
class FailureSearch:
    """Asks the services with one viewer's token; `silent` and `sampled` as in FailureReport."""

    services: ServiceDirectory
    token: str
    silent: dict[str, str] = field(default_factory=dict)
    sampled: dict[str, str] = field(default_factory=dict)
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def parked(self, service: str) -> Sequence[Failure]:
        """The keys that are parked at a service."""
        try:
            heads, keys = await self.services.parked(service, self.token)
        except NoAnswerError as error:
            self.silent[service] = str(error)
            return ()
        if keys > len(heads):
            self._sample(service, f"{len(heads):,} of {keys:,} parked keys")
        return [_of_head(service, head) for head in heads]

    async def retried(
        self, queries: Queries, standing: FlowStanding | None = None
    ) -> list[Failure]:
        """Of the orders that wait for a call, those whose call has failed."""
        edges = (standing or await queries.standing()).edges
        calls = (s for s in edges if s.edge.kind is EdgeKind.CALL and s.waiting.number)
        return _flat([await self._on(queries, each) for each in calls])

    async def _on(self, queries: Queries, standing: EdgeStanding) -> list[Failure]:
        edge = standing.edge
        wanted = Filter(edges=frozenset({edge.id}), waiting=SLOW)
        page = await queries.orders(wanted, "", SAMPLE)
        if page.next:
            orders = f"{len(page.rows)} of {standing.waiting} that wait for {edge.what}"
            self._sample(edge.source, orders)
        asked = (self._of_order(edge.source, order.id) for order in page.rows)
        return _flat(await asyncio.gather(*asked))

    async def _of_order(self, service: str, order_id: str) -> Sequence[Failure]:
        async with self._gate:
            try:
                path = "/ops/orders"
                answer = await self.services.get(service, path, self.token, key=order_id)
            except NoAnswerError as error:
                self.silent[service] = str(error)
                return ()
        failed = (effect for effect in answer["effects"] if effect["last_error"])
        return [_of_effect(service, order_id, effect) for effect in failed]

    def _sample(self, service: str, what: str) -> None:
        known = self.sampled.get(service)
        self.sampled[service] = f"{known}, and {what}" if known else what


def _flat(lists: Iterable[Sequence[Failure]]) -> list[Failure]:
    return [failure for each in lists for failure in each]


def _of_head(service: str, head: Mapping[str, Any]) -> Failure:
    return Failure(
        service,
        "parked",
        head["type"] or "(unreadable)",
        head["last_error"],
        head["key"],
        datetime.fromisoformat(head["parked_at"]),
        datetime.fromisoformat(head["last_tried_at"]),
        1 + head["behind"],
        head["id"],
    )


def _of_effect(service: str, order_id: str, effect: Mapping[str, Any]) -> Failure:
    return Failure(
        service,
        "retried",
        effect["kind"],
        effect["last_error"],
        order_id,
        datetime.fromisoformat(effect["owed_since"]),
        datetime.fromisoformat(effect["due_at"]),
        needs_attention=effect["needs_attention"],
        resolvable=tuple(effect["may_be_resolved_as"]),
        with_reference=tuple(effect["with_reference"]),
    )
