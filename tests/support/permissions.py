"""What a principal may do on a broker, by the error code that each request is answered with.

Nothing goes through a client that would retry, buffer or hide an answer. `OK` and `FORBIDDEN` are
distinguished; any other answer stays a number, and is what a test should fail with.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CorruptRecordException,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    MemberIdRequired,
    NotCoordinatorForGroupError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeAclsRequest,
    DescribeConfigsRequest,
)
from aiokafka.protocol.api import Request
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import JoinGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from saga_cli.access.broker import Acl, CreateAcls
from tests.support.waiting import until_async

OK: Final = "ok"
FORBIDDEN: Final = "forbidden"
REFUSALS: Final = {
    TopicAuthorizationFailedError.errno,
    GroupAuthorizationFailedError.errno,
    ClusterAuthorizationFailedError.errno,
}
LOADING: Final = {
    GroupCoordinatorNotAvailableError.errno,
    GroupLoadInProgressError.errno,
    NotCoordinatorForGroupError.errno,
}
Answer = str | int
TOPIC, LITERAL, WRITE, ALLOW, ANY = 2, 3, 4, 3, 1  # the protocol's numbers

DAMAGED: Final = CorruptRecordException.errno
ONLY_ASK: Final = True
"""Of what the protocol can validate alone."""


def answer_of(code: int) -> Answer:
    return FORBIDDEN if code in REFUSALS else code or OK


@dataclass(frozen=True, slots=True)
class Asking:
    """One principal's connection to one broker."""

    client: Any

    async def write(self, topics: Collection[str]) -> dict[str, Answer]:
        """With bytes that no broker takes, so that nothing is written where it may be."""
        batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1000)
        batch.append(0, 0, b"key", b"{}", [])
        record = bytes(batch.build())[:-1] + b"?"
        asked = ProduceRequest(None, -1, 10_000, [(topic, [(0, record)]) for topic in topics])
        answer = await self._asked(asked)
        codes = {t["topic"]: t["partitions"][0]["error_code"] for t in answer["topics"]}
        return {topic: answer_of(0 if code == DAMAGED else code) for topic, code in codes.items()}

    async def read(self, topics: Collection[str]) -> dict[str, Answer]:
        places = [(topic, [(0, 0, 1000)]) for topic in topics]
        answer = await self._sent(FetchRequest(0, 0, 100_000, 0, places))
        return {topic: answer_of(partitions[0][1]) for topic, partitions in answer.topics}

    async def see(self, topics: Collection[str]) -> dict[str, Answer]:
        answer = await self._asked(MetadataRequest(sorted(topics), allow_auto_topic_creation=False))
        return {t["topic"]: answer_of(t["error_code"]) for t in answer["topics"]}

    async def settings(self, topics: Collection[str]) -> dict[str, Answer]:
        resources = [(TOPIC, topic, None) for topic in topics]
        answer = await self._asked(DescribeConfigsRequest(resources, include_synonyms=False))
        return {r["resource_name"]: answer_of(r["error_code"]) for r in answer["resources"]}

    async def describe_group(self, group: str) -> Answer:
        return await self._once_loaded(lambda: OffsetFetchRequest(group, None))

    async def commit(self, group: str, topic: str) -> Answer:
        """Who may, and is no member of the group, is refused for that reason alone."""
        answer = await self._once_loaded(
            lambda: OffsetCommitRequest(group, -1, "", -1, [(topic, [(0, 0, "")])])
        )
        return OK if answer == UnknownMemberIdError.errno else answer

    async def join(self, group: str) -> Answer:
        """Who may join is asked to come again with the id that it is given, and does not."""
        protocols = [("range", b"")]
        answer = await self._once_loaded(
            lambda: JoinGroupRequest(group, 6_000, 6_000, "", None, "consumer", protocols)
        )
        return OK if answer == MemberIdRequired.errno else answer

    async def _once_loaded(self, request: Callable[[], Request[Any]]) -> Answer:
        """Asked again while the broker has not loaded its groups, or ids of producers, yet."""

        async def answer_once_loaded() -> Answer | None:
            if (answer := await self._first(request())) not in LOADING:
                return answer
            await self._asked(FindCoordinatorRequest("order", 0))
            return None

        answer: Answer = await until_async(answer_once_loaded, 30, "a loaded broker")
        return answer

    async def write_idempotently(self) -> Answer:
        return await self._once_loaded(lambda: InitProducerIdRequest(None, -1))

    async def administer(self, topic: str) -> dict[str, Answer]:
        """What takes an administrator, on a topic, or on the cluster."""
        eve = Acl(TOPIC, topic, LITERAL, "User:eve", "*", WRITE, ALLOW)
        requests: dict[str, Request[Any]] = {
            "create": CreateTopicsRequest([(f"{topic}.new", 1, 1, [], [])], 5_000, ONLY_ASK),
            "delete": DeleteTopicsRequest([topic], 5_000),
            "truncate": DeleteRecordsRequest([(topic, [(0, 1)])], 5_000),
            "alter": AlterConfigsRequest([(TOPIC, topic, [])]),
            "grow": CreatePartitionsRequest([(topic, (99, None))], 5_000, ONLY_ASK),
            "see rights": DescribeAclsRequest(ANY, None, ANY, None, None, ANY, ANY),
            "give rights": CreateAcls([eve]),
        }
        return {what: await self._first(request) for what, request in requests.items()}

    async def _first(self, request: Request[Any]) -> Answer:
        """The first error code of an answer, wherever it has one."""
        return answer_of(next(_codes(await self._asked(request))))

    async def _asked(self, request: Request[Any]) -> dict[str, Any]:
        answer: dict[str, Any] = (await self._sent(request)).to_object()
        return answer

    async def _sent(self, request: Request[Any]) -> Any:
        return await self.client.send(self.client.get_random_node(), request)


def _codes(found: Any) -> Iterator[int]:
    if isinstance(found, dict):
        if "error_code" in found:
            yield found["error_code"]
        found = found.values()
    if isinstance(found, Iterable) and not isinstance(found, str | bytes):
        for each in found:
            yield from _codes(each)


@asynccontextmanager
async def asking(options: dict[str, Any]) -> AsyncIterator[Asking]:
    """`options` are those of any client of aiokafka."""
    client = AIOKafkaClient(**options)
    try:
        await client.bootstrap()
        yield Asking(client)
    finally:
        await client.close()
