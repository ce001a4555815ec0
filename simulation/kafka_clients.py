"""The chassis' Kafka clients replaced by those of a simulated broker."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from chassis import kafka
from simulation.admin import Admin
from simulation.broker import Broker
from simulation.consumer import SimulatedConsumer
from simulation.producer import Producer

CLIENTS: Final = {
    "AIOKafkaConsumer": SimulatedConsumer,
    "AIOKafkaProducer": Producer,
    "AIOKafkaAdminClient": Admin,
}


@contextmanager
def connected_to(broker: Broker) -> Iterator[None]:
    """Within it, whatever address they are given, clients made by the chassis are of this broker."""
    real = {name: getattr(kafka, name) for name in CLIENTS}
    for name, simulated in CLIENTS.items():
        setattr(kafka, name, partial(simulated, broker))
    try:
        yield
    finally:
        for name, client in real.items():
            setattr(kafka, name, client)
