"""The rights of each principal on Kafka, as the declarations of the services need them.

A principal is named as its service. The console reads the log in no group; `READER` is for commands that
only read it, such as `saga archive` and `saga timeline`. An idempotent producer needs no more than WRITE on
a topic, and READ and WRITE include DESCRIBE. Nobody here may create, alter or delete anything: that is the
administrator's.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from chassis.events import dead_letters_of
from chassis.kafka import topics_of
from chassis.service import Service
from chassis.topic_layout import TopicLayout
from guarantees.declared import service_of
from saga_cli.access.right import READER, AclResource, Operation, Right
from saga_cli.topology import CONSOLE, PROCESSES, SERVICES

PRINCIPALS: Final = (*(spec.name for spec in PROCESSES), READER)
TopicSettings = tuple[int, dict[str, str]]
"""The number of partitions that a topic is made with, and its settings."""


def layouts(*, moving: bool) -> tuple[TopicLayout, ...]:
    """Those in which processes may run: all of them while a system moves (docs/topics.md)."""
    return tuple(TopicLayout) if moving else (TopicLayout.LANES,)


def rights(*, moving: bool = False) -> list[Right]:
    """Of all principals, in their order."""
    found = [*_of_services(layouts(moving=moving)), *_of_the_console(), *_of_the_reader()]
    return sorted(found, key=lambda r: (PRINCIPALS.index(r.principal), r))


def rights_of(
    service: Service, *, keeps_positions: bool, layout: TopicLayout = TopicLayout.LANES
) -> set[Right]:
    """What one service needs in one layout of topics.

    It reads its own log to rebuild itself, and to notice that its store is empty. It has to see the
    end of a topic that it reads no more, so that it does not pass over what waits there; a store that
    keeps its positions reads it again where it was set back in time.
    """
    service = replace(service, layout=layout)
    own = {*service.own_topics, dead_letters_of(service.name)}
    read, seen = {*service.topics, *service.log_topics}, service.left_topics
    if keeps_positions:
        read |= seen
    named = {Operation.WRITE: own, Operation.READ: read, Operation.DESCRIBE: seen - read - own}
    return {
        Right(service.name, AclResource.GROUP, service.name, Operation.READ),
        *(_topic(service.name, topic, may) for may, topics in named.items() for topic in topics),
    }


def topics(*, moving: bool = False) -> dict[str, TopicSettings]:
    """Each topic of the system, by name."""
    found: dict[str, TopicSettings] = {}
    for spec in SERVICES:
        for layout in layouts(moving=moving):
            found |= topics_of(replace(service_of(spec.name), layout=layout))
    return dict(sorted(found.items()))


def _of_services(some: Collection[TopicLayout]) -> set[Right]:
    """A service has the rights of all layouts that are given: its processes may differ in it."""
    return {
        right
        for spec in SERVICES
        for layout in some
        for right in rights_of(
            service_of(spec.name), keeps_positions=not spec.has_database, layout=layout
        )
    }


def _of_the_console() -> Iterator[Right]:
    """It reads no dead letter, no name and no address."""
    for spec in SERVICES:
        for topic in service_of(spec.name).log_topics:
            yield _topic(CONSOLE.name, topic, Operation.READ)


def _of_the_reader() -> Iterator[Right]:
    """Names and addresses are not in what it reads: who verifies those is an administrator."""
    for spec in SERVICES:
        yield Right(READER, AclResource.GROUP, spec.name, Operation.DESCRIBE)
        for topic in (*service_of(spec.name).log_topics, dead_letters_of(spec.name)):
            yield _topic(READER, topic, Operation.READ)
            yield _topic(READER, topic, Operation.DESCRIBE_CONFIGS)


def _topic(principal: str, topic: str, may: Operation) -> Right:
    return Right(principal, AclResource.TOPIC, topic, may)
