"""The topics that a service makes: its own, and that of its dead letters."""

from typing import Final

from chassis.kafka import COMPACTED, DEAD_LETTERS, KEEP_FOR_EVER
from chassis.service import Service
from shared_events import catalog

PARTITIONS: Final = 12
"""A topic is made with so many; later it may have more."""


def topics_of(service: Service) -> dict[str, tuple[int, dict[str, str]]]:
    """Partitions and settings by name."""
    own = {
        topic: (PARTITIONS, COMPACTED if topic in catalog.COMPACTED else KEEP_FOR_EVER)
        for topic in sorted(service.own_topics)
    }
    return own | {catalog.dead_letters_of(service.name): (1, DEAD_LETTERS)}
