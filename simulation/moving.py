"""A running system moves from one topic an owner to lanes, as docs/topics.md says.

All processes begin with the topics of before. One after the other is started anew and writes lanes, some
of them the topics of before once more. When nobody writes those any longer, and nothing of them waits in an
outbox or is unread, one after the other is started to read lanes alone. In a hasty move nobody looks at what
is unread: a process that starts too early refuses, and reads both again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from chassis import clock
from chassis.errors import FormerLayoutError
from chassis.kafka import KEEP_FOR_EVER
from chassis.redis.keys import row_of
from chassis.topic_layout import TopicLayout
from loyalty_svc.store import KEYS
from shared_events.catalog import CATALOG
from simulation import verdict

if TYPE_CHECKING:
    from simulation.system import SimulatedSystem

FORMER: Final = frozenset(topic for entry in CATALOG.entries for topic in entry.former)
FORMER_PARTITIONS: Final = 12
"""As a release before the lanes made them: another number than a lane has."""
BACK: Final = 0.2
"""The share of restarts after which another process goes a step back."""
PAUSES_S: Final = (0.05, 0.3, 1.0)
"""So long it may take until the next process is restarted."""
LOOK_EVERY_S: Final = 0.5


@dataclass
class LayoutMove:
    """`layouts` are those of the processes that have moved, or are to with their next start."""

    system: "SimulatedSystem"
    layouts: dict[str, TopicLayout] = field(default_factory=dict)
    choice: Random = field(init=False)
    begins: TopicLayout = field(init=False)
    pause_s: float = field(init=False)
    is_hasty: bool = field(init=False)
    refused: set[str] = field(default_factory=set)
    """Services of which a process was started too early."""
    _looks: int = 0
    """So many times in a row nothing stood in the way of lanes."""

    def __post_init__(self) -> None:
        plan = self.system.plan
        self.choice = plan.random("move")
        self.begins = TopicLayout.FORMER if plan.topics == "moves" else TopicLayout.LANES
        for topic in sorted(FORMER) if plan.topics == "moves" else ():
            self.system.broker.create_topic(topic, FORMER_PARTITIONS, KEEP_FOR_EVER)
        self.pause_s = self.choice.choice(PAUSES_S)
        self.is_hasty = self.choice.random() < 0.5  # noqa: PLR2004

    def layout_of(self, process: str) -> TopicLayout:
        return self.layouts.get(process, self.begins)

    def topics_of(self, owner: str) -> tuple[str, ...]:
        """Where its events may stand in this run."""
        is_moved = self.begins is TopicLayout.LANES
        return CATALOG.lanes_of(owner) if is_moved else CATALOG.log_of(owner)

    async def run(self) -> None:
        """It is looked after to the end of the run: who is set back far enough has to read both again."""
        if self.begins is TopicLayout.LANES:
            return
        await clock.wait(self.choice.uniform(0, self.system.plan.arrive_s))
        for name in self._shuffled():
            await self._restart(name, TopicLayout.MOVING)
            if self.choice.random() < BACK:
                await self._restart(self.choice.choice(self._shuffled()), TopicLayout.FORMER)
        while True:
            await clock.wait(LOOK_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        if refused := {p.service for p in self.system.processes() if refuses(p.node)}:
            self.is_hasty = False
            self.refused |= refused
            again = [name for name in self._shuffled() if _owner(name) in refused]
            await self._all(TopicLayout.MOVING, again)
        elif late := self._to_read_again():
            await self._all(TopicLayout.MOVING, late)
        elif back := [n for n in self._shuffled() if self.layout_of(n) is TopicLayout.FORMER]:
            await self._all(TopicLayout.MOVING, back)
        elif waiting := [n for n in self._shuffled() if self.layout_of(n) is TopicLayout.MOVING]:
            self._looks = 0 if self._in_use() else self._looks + 1
            if self._looks > 1:
                await self._all(TopicLayout.LANES, waiting)

    def _to_read_again(self) -> list[str]:
        """Of a service that reads lanes alone while a record came late to a topic of before.

        A relay that hung may send a row once more that another one had sent.
        """
        if self.is_hasty:
            return []
        late = {name for name, _ in self._unread()}
        lanes = (n for n in self._shuffled() if self.layout_of(n) is TopicLayout.LANES)
        return [name for name in lanes if _owner(name) in late]

    async def _all(self, layout: TopicLayout, names: list[str]) -> None:
        for name in names:
            await self._restart(name, layout)
        self._looks = 0

    async def _restart(self, name: str, layout: TopicLayout) -> None:
        """In order, or by a kill."""
        self.system.report(f"{name} is to be {layout}")
        self.layouts[name] = layout
        if process := self.system.running.get(name):
            end = self.system.cut if self.choice.random() < BACK else self.system.stop
            end(process)
        await clock.wait(self.choice.uniform(0.0, self.pause_s))

    def _shuffled(self) -> list[str]:
        names = self.system.names
        return self.choice.sample(names, len(names))

    def left(self) -> str:
        """What the move waits for; "" when it is over."""
        if self.begins is TopicLayout.LANES:
            return ""
        for name in self.system.names:
            if self.layout_of(name) is not TopicLayout.LANES:
                return f"{name} is {self.layout_of(name)}"
        for process in self.system.processes():
            if process.node is None or process.node.settings.topic_layout is not TopicLayout.LANES:
                return f"{process.name} has not started again"
            if refuses(process.node):
                return f"{process.name} refuses: {process.node.consumer.away}"
        return ""

    def _in_use(self) -> str:
        """Why the topics of before are needed, as `saga topics` tells it."""
        for process in self.system.processes():
            if process.node is None or process.node.settings.topic_layout is TopicLayout.FORMER:
                return f"{process.name} writes them"
        if topic := next((topic for topic in self._waiting() if topic in FORMER), ""):
            return f"{topic} has rows in the outbox"
        unread = () if self.is_hasty else self._unread()
        return next((f"{name} has not read {place}" for name, place in unread), "")

    def _waiting(self) -> Iterator[str]:
        """The topic of each row in an outbox."""
        for database in self.system.databases.values():
            yield from (entry.row.topic for entry in database.outbox.values())
        for pairs in self.system.redis.data.values.get(KEYS.outbox.encode(), {}).values():
            yield row_of(pairs).topic

    def _unread(self) -> Iterator[tuple[str, str]]:
        """Which service has not read which partition of a topic of before to its end."""
        for name, service in self.system.services.items():
            for topic in sorted(service.read_topics & FORMER):
                for record in verdict.last_records(self.system, topic):
                    if not verdict.is_read(self.system, name, record):
                        yield name, f"{topic}/{record.partition}"


def _owner(process: str) -> str:
    return process.rpartition("-")[0]


def refuses(node: Any) -> bool:
    """Whether a process says that it would not read what waits in the topics of before."""
    return node is not None and FormerLayoutError.__name__ in node.consumer.away
