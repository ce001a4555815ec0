"""A consumer's side of its group: joining, its heartbeats, its commits. It runs beside the consumer.

As in aiokafka, a rebalance waits for nobody's handler; a commit names the generation of the moment;
a client that nobody polls leaves; no heartbeat is sent before `on_partitions_assigned` has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata

from chassis import clock
from simulation.connection import BrokerConnection
from simulation.group import Group, Joined, Joining, Member

log = structlog.get_logger()
STRANGER = (UnknownMemberIdError, IllegalGenerationError)


async def committed_of(connection: BrokerConnection, group: Group) -> dict[TopicPartition, int]:
    """Anybody may ask, also who is no member."""
    found: dict[TopicPartition, OffsetAndMetadata] = await connection.persist(
        "committed", lambda: dict(group.offsets)
    )
    return {place: offset.offset for place, offset in found.items()}


@dataclass(eq=False)
class Coordinator:
    """`revoke` and `assign` are what the consumer does in a rebalance; `idle_s`, its time unpolled."""

    connection: BrokerConnection
    group: Group
    says: Joining
    max_idle_s: float
    revoke: Callable[[], Awaitable[None]]
    assign: Callable[[list[TopicPartition]], Awaitable[None]]
    idle_s: Callable[[], float]
    member_id: str = ""
    _generation: int = -1
    _member: Member | None = None
    _has_joined: bool = False
    _is_prepared: bool = False
    _is_rejoining: bool = False
    _is_beating: bool = False
    _is_noticing: bool = False
    _is_closing: bool = False
    _idle_check: asyncio.Handle | None = None
    _coordination_task: "asyncio.Task[None] | None" = None
    _heartbeat_task: "asyncio.Task[None] | None" = None

    def __post_init__(self) -> None:
        self._session_timeout_ms = round(self.says.session_s * 1000)
        self._heartbeat_interval_ms = round(self.says.heartbeat_s * 1000)

    def request_rejoin(self) -> None:
        self._is_rejoining = True
        if self._is_closing:
            return
        if self._coordination_task is None or self._coordination_task.done():
            self._coordination_task = asyncio.create_task(self._coordinate())

    def _expect_news(self, seconds: float) -> None:
        """There is news of the group, of which the heartbeat in so many seconds brings word."""
        if not self._is_noticing and not self._is_closing:
            self._is_noticing = True
            loop, context = self.connection.loop, self.connection.context
            loop.call_later(seconds, self._notice, context=context)

    def liveness_changed(self) -> None:
        if self._is_beating and self._member is not None:
            if self.connection.beats:
                self.group.beat(self._member, at_once=True)
            else:
                self.group.silence(self._member)

    def check(self) -> None:
        """Raise what ended the client's own work."""
        task = self._coordination_task
        if task is not None and task.done() and not task.cancelled():
            task.result()

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        request = partial(self.group.commit, self.member_id, self._generation, offsets)
        try:
            await self.connection.persist("commit", request)
        except STRANGER as error:
            self._forget()
            raise CommitFailedError("the group has already rebalanced") from error

    async def close(self) -> None:
        """Ends what is in hand, a listener's call or a join too, however long that takes; then leaves."""
        self._is_closing = True
        if self._coordination_task is not None:
            await asyncio.wait((self._coordination_task,))
        if self._heartbeat_task is not None:
            self._heartbeat_task.cancel()
        await self._leave()

    async def _coordinate(self) -> None:
        while self._is_rejoining and not self._is_closing:
            if not self._is_prepared:
                await self.revoke()
                self._is_prepared = True
            self._fall_silent()
            nobody_polls = self._has_joined and self.idle_s() >= self.max_idle_s
            joined = None if nobody_polls else await self._join()
            if joined is None:
                await clock.wait(self.connection.backoff_s)
                continue
            self._member, self._generation, places = joined
            self._is_rejoining, self._is_prepared, self._has_joined = False, False, True
            await self.assign(places)
            if not self._is_rejoining:
                self._begin_to_beat()

    async def _join(self) -> Joined | None:
        call, client_id = self.connection.call, self.connection.client_id
        session_s, heartbeat_s = self._session_timeout_ms / 1000, self._heartbeat_interval_ms / 1000
        says = replace(self.says, session_s=session_s, heartbeat_s=heartbeat_s)
        is_new = self._generation < 0
        try:
            if not self.member_id:
                named = partial(self.group.new_member_id, client_id)
                self.member_id = await call("join", named)
            join = partial(self.group.join, self.member_id, says, self._expect_news, is_new=is_new)
            joined: Joined = await call("join", join)
        except UnknownMemberIdError:
            self.member_id, self._generation = "", -1
        except KafkaError as error:
            log.info("join_failed", client=client_id, error=repr(error))
        else:
            return joined
        return None

    def _begin_to_beat(self) -> None:
        assert self._member is not None
        self._is_beating = True
        if self.connection.beats:
            self.group.beat(self._member)
        self._check_idle()

    def _fall_silent(self) -> None:
        if self._is_beating and self._member is not None:
            self._is_beating = False
            self.group.silence(self._member)
        if self._idle_check is not None:
            self._idle_check.cancel()

    def _forget(self) -> None:
        """The group does not know this member, or not at this generation: it comes as a new one."""
        self._fall_silent()
        self.member_id, self._generation = "", -1
        self.request_rejoin()

    def _notice(self) -> None:
        self._is_noticing = False
        if self._is_beating and not self._is_closing:
            self._heartbeat_task = asyncio.create_task(self._heartbeat())

    async def _heartbeat(self) -> None:
        beat = partial(self.group.heartbeat, self.member_id, self._generation)
        try:
            await self.connection.call("heartbeat", beat)
        except RebalanceInProgressError:
            self.request_rejoin()
        except STRANGER:
            self._forget()
        except KafkaError as error:
            log.info("heartbeat_failed", client=self.connection.client_id, error=repr(error))
            if self.connection.beats:
                self._expect_news(self.connection.backoff_s)

    def _check_idle(self) -> None:
        left_s = self.max_idle_s - self.idle_s()
        if left_s <= 0:
            self._heartbeat_task = asyncio.create_task(self._leave_idle())
            return
        loop, context = self.connection.loop, self.connection.context
        self._idle_check = loop.call_later(left_s, self._check_idle, context=context)

    async def _leave_idle(self) -> None:
        await self._leave()
        self._forget()

    async def _leave(self) -> None:
        self._fall_silent()
        if self._generation < 0:
            return
        try:
            await self.connection.call("leave", partial(self.group.leave, self.member_id))
        except KafkaError as error:
            log.info("leave_failed", client=self.connection.client_id, error=repr(error))
