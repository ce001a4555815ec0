"""One process of each service, put together as its own `__main__` does, on simulated servers."""

from functools import cache
from typing import Final

from chassis.process import runtime
from chassis.process.runtime import Node
from chassis.process.settings import FastPath, ServiceSettings
from chassis.redis import RedisDatabase, RedisInspection, RedisStore
from chassis.service import Provider, Service
from chassis.topic_layout import TopicLayout
from guarantees.declared import layout_of, tables_of
from guarantees.services import BY_NAME, WITH_DATABASE
from guarantees.services import SERVICES as MANIFESTS
from simulation.broker import Broker
from simulation.database import Database
from simulation.memory_inspection import MemoryInspection
from simulation.memory_store import MemoryStore

SERVICES: Final = tuple(BY_NAME)
IN_DATABASES: Final = tuple(WITH_DATABASE)
IN_REDIS: Final = tuple(name for name in SERVICES if name not in IN_DATABASES)
"""Services by where their state is."""
PROVIDERS: Final = tuple(manifest.provider for manifest in MANIFESTS if manifest.provider)
BOOTSTRAP: Final = Broker.address
REDIS: Final = RedisDatabase.at("redis://simulated:6379/0")


@cache
def settings_with(fast_paths: frozenset[FastPath], layout: TopicLayout) -> ServiceSettings:
    """Made once: to read the environment costs more than all else that a process does at its start."""
    return ServiceSettings(
        kafka_bootstrap=BOOTSTRAP,
        http_port=0,
        auth="off",  # no request comes over HTTP here
        fast_paths=fast_paths,
        session_timeout_s=6,
        topic_layout=layout,
    )


async def node_of(
    service: Service,
    database: Database | None,
    provider: Provider | None,
    fast_paths: frozenset[FastPath],
    layout: TopicLayout,
) -> Node:
    settings = settings_with(fast_paths, layout)
    if database is None:
        redis = await RedisStore.connect(service, layout_of(service.name), REDIS, settings.kafka)
        node = runtime.assemble(service, settings, redis, RedisInspection(redis), provider)
    else:
        memory = MemoryStore(service, database, tables_of(service.name)[1])
        node = runtime.assemble(service, settings, memory, MemoryInspection(memory), provider)
    return unhurried(node)


def unhurried(node: Node) -> Node:
    """Polls that find nothing are most of a quiet day's work: there are fewer of them here."""
    node.relay.poll_s, node.relay.idle_after_s, node.relay.idle_poll_s = 0.05, 0.5, 0.5
    node.relay.lead_retry_s, node.relay.resigned_s = 1.0, 1.5
    node.commands.poll_s, node.consumer.poll_ms = 1.0, 1000
    return node
