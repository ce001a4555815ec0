"""The chassis' Kafka clients replaced by those of a simulated broker."""

from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from chassis.kafka import Cluster, access
from chassis.kafka import clients as kafka
from simulation.admin import Admin
from simulation.broker import Broker
from simulation.consumer import SimulatedConsumer
from simulation.machine import replaced
from simulation.producer import Producer

CLIENTS: Final = {
    "AIOKafkaConsumer": SimulatedConsumer,
    "AIOKafkaProducer": Producer,
    "AIOKafkaAdminClient": Admin,
}


def connected_to(broker: Broker) -> AbstractContextManager[None]:
    """Within it, whatever address they are given, clients made by the chassis are of this broker.

    It lets everybody in: where it does not answer, there is nothing more to find out.
    """
    clients = ((kafka, name, partial(client, broker)) for name, client in CLIENTS.items())
    return replaced(*clients, (access, "refusal", _no_refusal))


async def _no_refusal(_cluster: Cluster) -> str:
    return ""
