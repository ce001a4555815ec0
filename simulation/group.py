"""A consumer group at its coordinator: members, generations, eager rebalances, offsets.

Heartbeats are not sent one by one. Who beats is known, and since when; so it is known when a member
that went silent is overdue, and at which of its beats another learns that the group rebalances.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.errors import (
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata

from simulation.waiters import refuse

if TYPE_CHECKING:
    from simulation.broker import Broker


class Joined(NamedTuple):
    member: "Member"
    generation: int
    places: list[TopicPartition]


@dataclass(frozen=True, slots=True)
class Joining:
    """What a member says of itself."""

    topics: tuple[str, ...]
    session_s: float
    heartbeat_s: float
    rebalance_s: float
    assignor: type[AbstractPartitionAssignor]


@dataclass(eq=False)
class Member:
    """`notify` is called with the time to the heartbeat that brings it news."""

    id: str
    says: Joining
    notify: Callable[[float], None]
    joining: asyncio.Future[Joined] | None = None
    beats_since: float | None = None
    removed: bool = False
    overdue: asyncio.Handle | None = None

    def until_beat(self) -> float:
        assert self.beats_since is not None
        interval = self.says.heartbeat_s
        return interval - (_now() - self.beats_since) % interval


@dataclass
class Group:
    broker: "Broker"
    name: str
    members: dict[str, Member] = field(default_factory=dict)
    generation: int = 0
    offsets: dict[TopicPartition, OffsetAndMetadata] = field(default_factory=dict)
    rebalancing: bool = False
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _deadline: asyncio.Handle | None = None

    # What members ask for

    def new_member_id(self, client_id: str) -> str:
        return f"{client_id}-{next(self._numbers):08d}"

    def join(
        self, member_id: str, says: Joining, notify: Callable[[float], None], *, is_new: bool
    ) -> asyncio.Future[Joined]:
        """Answered when all have joined, or those that have not are out."""
        member = self.members.get(member_id)
        if member is None:
            if not is_new:
                raise UnknownMemberIdError(self.name)
            member = self.members[member_id] = Member(member_id, says, notify)
        member.says = says
        member.joining = parked = asyncio.get_running_loop().create_future()
        member.beats_since = None
        _cancel(member.overdue)
        self.prepare()
        self._complete_if_all_joined()
        return parked

    def heartbeat(self, member_id: str, generation: int) -> None:
        self._known(member_id, generation)
        if self.rebalancing:
            raise RebalanceInProgressError(self.name)

    def commit(
        self, member_id: str, generation: int, offsets: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> None:
        """Open to members of this generation, also while they join the next; and to anyone if none."""
        if self.members or generation >= 0:
            self._known(member_id, generation)
        self.offsets |= offsets

    def leave(self, member_id: str) -> None:
        member = self.members.get(member_id)
        if member is None:
            raise UnknownMemberIdError(self.name)
        self._remove(member)

    def _known(self, member_id: str, generation: int) -> None:
        if member_id not in self.members:
            raise UnknownMemberIdError(self.name)
        if generation != self.generation:
            raise IllegalGenerationError(self.name)

    # Who is there

    def beat(self, member: Member, *, at_once: bool = False) -> None:
        """From now on the member sends heartbeats; `at_once` if one is due already."""
        member.beats_since = _now()
        _cancel(member.overdue)
        if self.rebalancing or member.removed:
            member.notify(0 if at_once else member.says.heartbeat_s)

    def silence(self, member: Member) -> None:
        """From now on it sends none: with its session, it is out."""
        if member.beats_since is None or member.removed:
            return
        since_beat = (_now() - member.beats_since) % member.says.heartbeat_s
        member.beats_since = None
        member.overdue = self.broker.later(member.says.session_s - since_beat, self._expire, member)

    def expire_older_than(self, seconds: float) -> None:
        """Nobody's heartbeat got through for so long."""
        for member in tuple(self.members.values()):
            if member.joining is None and member.says.session_s < seconds:
                self._remove(member)

    def _expire(self, member: Member) -> None:
        if self.broker.away:
            member.overdue = self.broker.later(member.says.session_s, self._expire, member)
        else:
            self._remove(member)

    def _remove(self, member: Member) -> None:
        del self.members[member.id]
        member.removed = True
        _cancel(member.overdue)
        if member.joining is not None:
            refuse(member.joining, UnknownMemberIdError(self.name))
        self._notify(member)
        if self.members:
            self.prepare()
        elif not self.rebalancing:
            self.generation += 1
        self._complete_if_all_joined()

    # Rebalances

    def prepare(self) -> None:
        """Members learn by their next heartbeat that they have to join again."""
        if self.rebalancing or not self.members:
            return
        self.rebalancing = True
        longest_s = max(member.says.rebalance_s for member in self.members.values())
        self._await_the_late(longest_s)
        for member in self.members.values():
            self._notify(member)

    def forget_joins(self) -> None:
        """Their connections are broken: they have to ask again."""
        for member in self.members.values():
            member.joining = None

    def _notify(self, member: Member) -> None:
        if member.joining is None and member.beats_since is not None:
            member.notify(member.until_beat())

    def _await_the_late(self, longest_s: float) -> None:
        self._deadline = self.broker.later(longest_s, self._go_on_without_the_late, longest_s)

    def _go_on_without_the_late(self, longest_s: float) -> None:
        if self.broker.away:
            self._await_the_late(longest_s)
            return
        for member in tuple(self.members.values()):
            if member.joining is None:
                self._remove(member)

    def _complete_if_all_joined(self) -> None:
        if not self.rebalancing or any(m.joining is None for m in self.members.values()):
            return
        self.rebalancing = False
        self.generation += 1
        _cancel(self._deadline)
        assigned = self._assigned()
        for member in self.members.values():
            parked, member.joining = member.joining, None
            member.beats_since = _now()
            self.silence(member)  # until its client has the answer and begins
            if parked is not None and not parked.done():
                parked.set_result(Joined(member, self.generation, assigned[member.id]))

    def _assigned(self) -> dict[str, list[TopicPartition]]:
        if not self.members:
            return {}
        assignor = next(iter(self.members.values())).says.assignor
        metadata = {m.id: assignor.metadata(m.says.topics) for m in self.members.values()}
        shares = assignor.assign(self.broker, metadata)
        return {id_: list(share.partitions()) for id_, share in shares.items()}


def _now() -> float:
    return asyncio.get_running_loop().time()


def _cancel(handle: asyncio.Handle | None) -> None:
    if handle is not None:
        handle.cancel()
