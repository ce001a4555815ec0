"""aiokafka's admin client, as far as it is used here, on a simulated broker."""

from collections.abc import Iterable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.protocol.metadata import MetadataRequest

from simulation.broker import Broker
from simulation.connection import BrokerConnection, options_of


class Admin:
    def __init__(self, broker: Broker, **options: Any) -> None:
        self._broker = broker
        self._client = BrokerConnection(broker, options_of(AIOKafkaAdminClient, options))

    async def start(self) -> None:
        await self._client.bootstrap()

    async def close(self) -> None:
        await self._client.close()

    async def list_topics(self) -> list[str]:
        topics: list[str] = await self._client.call("metadata", lambda: list(self._broker.topics))
        return topics

    async def describe_cluster(self) -> dict[str, Any]:
        await self._client.call("metadata", lambda: None)
        host, _, port = self._broker.address.partition(":")
        node = {"node_id": 1, "host": host, "port": int(port), "rack": None}
        return {"brokers": [node], "cluster_id": "simulated", "controller_id": 1}

    async def describe_topics(self, topics: Sequence[str] | None = None) -> list[dict[str, Any]]:
        described: list[dict[str, Any]] = await self._client.call(
            "metadata",
            lambda: [
                self._described(t) for t in (self._broker.topics if topics is None else topics)
            ],
        )
        return described

    async def create_topics(self, new_topics: Iterable[NewTopic]) -> SimpleNamespace:
        """As in aiokafka nothing is raised when a topic is refused: the code says it."""
        errors = [
            await self._client.call("create", partial(self._created, topic)) for topic in new_topics
        ]
        return SimpleNamespace(topic_errors=errors)

    async def _send_request(self, _request: MetadataRequest) -> SimpleNamespace:
        """Whether topics are hidden: here is no authorizer, and none is. It takes no time."""
        return SimpleNamespace(to_object=lambda: {"topics": []})

    def _described(self, topic: str) -> dict[str, Any]:
        found = self._broker.partitions_for_topic(topic)
        partitions = [
            {"error_code": 0, "partition": n, "leader": 1, "replicas": [1], "isr": [1]}
            for n in sorted(found or ())
        ]
        code = UnknownTopicOrPartitionError.errno if found is None else 0
        return {"error_code": code, "topic": topic, "is_internal": False, "partitions": partitions}

    def _created(self, topic: NewTopic) -> tuple[str, int, str | None]:
        try:
            self._broker.create_topic(topic.name, topic.num_partitions, topic.topic_configs)
        except KafkaError as error:
            return topic.name, error.errno, str(error)
        return topic.name, 0, None
