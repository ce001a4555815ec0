"""A client's end of its connection: requests with a time limit, and whether the process still runs."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import cache
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, RequestTimedOutError

from chassis import clock
from simulation.broker import Broker, QueueLine
from simulation.faults import NOWHERE, RequestKind
from simulation.process import current
from simulation.waiters import refuse

_signature = cache(inspect.signature)


def options_of(client: Any, given: Mapping[str, Any]) -> SimpleNamespace:
    """The options of one of aiokafka's clients, by its names and with its defaults."""
    bound = _signature(client).bind(**given)
    bound.apply_defaults()
    return SimpleNamespace(**bound.arguments)


class BrokerConnection:
    """Belongs to the process in which it is made; `changed` is called when that stops or goes on.

    Without a network nothing is refused: a request is waited for until its time is over.
    """

    def __init__(self, broker: Broker, options: SimpleNamespace) -> None:
        self.broker = broker
        self.client_id: str = options.client_id
        self.timeout_s = options.request_timeout_ms / 1000
        self.backoff_s = options.retry_backoff_ms / 1000
        self.loop = asyncio.get_running_loop()
        self.context = copy_context()
        self.changed: Callable[[], None] | None = None
        self.cluster = SimpleNamespace(unauthorized_topics=frozenset())  # here is no authorizer
        self._line = QueueLine()
        self._process = current.get()
        self._closed = False
        if self._process is not None:
            self._process.watchers.append(self._notice)

    async def force_metadata_update(self) -> bool:
        """A client here knows at any time how many partitions there are."""
        return True

    @property
    def reaches(self) -> bool:
        return self._process is None or self._process.reachable

    @property
    def beats(self) -> bool:
        """Whether heartbeats get through."""
        runs = self._process is None or self._process.runs
        return runs and self.reaches and not self._closed

    async def bootstrap(self) -> None:
        try:
            await self.call("metadata", lambda: None)
        except KafkaError as error:
            raise KafkaConnectionError(f"Unable to bootstrap from {self.broker.address}") from error

    async def call(
        self, kind: RequestKind, effect: Callable[[], Any], place: TopicPartition = NOWHERE
    ) -> Any:
        """One request. What it does at the broker it may do also after its time is over."""
        if self._closed:
            raise KafkaConnectionError("the client is closed")
        reply: asyncio.Future[Any] = (
            self.broker.send(self._line, kind, place, effect)
            if self.reaches
            else self.loop.create_future()
        )
        timer = self.loop.call_later(self.timeout_s, refuse, reply, RequestTimedOutError())
        try:
            return await reply
        finally:
            timer.cancel()

    async def persist(
        self, kind: RequestKind, effect: Callable[[], Any], place: TopicPartition = NOWHERE
    ) -> Any:
        """The same request until it is answered, whatever is wrong for a time."""
        while True:
            try:
                return await self.call(kind, effect, place)
            except KafkaError as error:
                if self._closed or not error.retriable:
                    raise
            await clock.wait(self.backoff_s)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._notice()
            if self._process is not None:
                self._process.watchers.remove(self._notice)

    def _notice(self) -> None:
        if self.changed is not None:
            self.changed()
