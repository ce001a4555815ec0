"""One process of each service, put together as its own `__main__` does, on simulated servers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pydantic import SecretStr

import inventory_svc.service
import order_svc.service
import payment_svc.domain
import payment_svc.service
import shipping_svc.domain
import shipping_svc.service
from chassis import runtime
from chassis.runtime import Node
from chassis.service import Provider, Service
from chassis.settings import ServiceSettings
from chassis.state_tables import SharedTable
from chassis.store import Operations, Store
from inventory_svc.store import STOCK
from loyalty_svc.operations import RedisOperations
from loyalty_svc.service import SERVICE as LOYALTY
from loyalty_svc.store import RedisStore
from order_svc.store import PRODUCTS
from simulation.database import Database
from simulation.memory_operations import MemoryOperations
from simulation.memory_store import MemoryStore

SERVICES: Final = ("order", "inventory", "payment", "shipping", "loyalty")
BOOTSTRAP: Final = "simulated:9092"
REDIS_URL: Final = "redis://simulated:6379/0"


@dataclass(frozen=True, slots=True)
class Made:
    """A service as the simulation runs it; `store` may be another class where a bug is switched on."""

    service: Service
    shared: SharedTable | None = None
    provider: Provider | None = None


def made(name: str, providers: Mapping[str, Provider], dispatch_after: timedelta) -> Made:
    """The service with the policy of this run."""
    shipping = shipping_svc.domain.Policy(dispatch_after=dispatch_after)
    services = {
        "order": Made(order_svc.service.SERVICE, PRODUCTS),
        "inventory": Made(inventory_svc.service.SERVICE, STOCK),
        "payment": Made(payment_svc.service.SERVICE, None, providers["payment"]),
        "shipping": Made(shipping_svc.service.with_policy(shipping), None, providers["shipping"]),
        "loyalty": Made(LOYALTY),
    }
    return services[name]


async def node_of(what: Made, database: Database | None) -> Node:
    settings = ServiceSettings(
        kafka_bootstrap=BOOTSTRAP, http_port=0, operator_token=SecretStr("simulated")
    )
    store, operations = await _opened(what, database)
    return unhurried(runtime.assemble(what.service, settings, store, operations, what.provider))


async def _opened(what: Made, database: Database | None) -> tuple[Store, Operations]:
    if database is None:
        redis = await RedisStore.connect(what.service, REDIS_URL, BOOTSTRAP)
        return redis, RedisOperations(redis)
    memory = MemoryStore(what.service, database, what.shared)
    return memory, MemoryOperations(memory)


def unhurried(node: Node) -> Node:
    """Polls that find nothing are most of a quiet day's work: there are fewer of them here."""
    node.relay.poll_s, node.relay.idle_after_s, node.relay.idle_poll_s = 0.05, 0.5, 0.5
    node.relay.lead_retry_s, node.relay.resigned_s = 1.0, 1.5
    node.commands.poll_s, node.consumer.poll_ms = 1.0, 1000
    return node
