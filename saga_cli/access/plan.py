"""What a cluster lacks of the declared topics and rights: a comparison without IO."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from saga_cli.access.broker import ALLOW, LITERAL, OPERATIONS, RESOURCES, TOPIC, Acl
from saga_cli.access.right import Right
from saga_cli.access.rights import PRINCIPALS, TopicSettings

RESOURCE_NUMBERS: Final = {name: number for number, name in RESOURCES.items()}
OPERATION_NUMBERS: Final = {name: number for number, name in OPERATIONS.items()}
WRITES: Final = {OPERATION_NUMBERS["WRITE"], OPERATION_NUMBERS["ALL"]}
OPERATORS: Final = frozenset({"retention.ms", "retention.bytes"})
"""Settings that an operator may choose (docs/archive.md): a value of the topic's own stays."""
AT_LEAST: Final = frozenset({"max.message.bytes"})
"""More is well as well."""
OURS: Final = frozenset(f"User:{name}" for name in PRINCIPALS)


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """`settings` are the topic's own; `copies` are the fewest of any of its partitions."""

    partitions: int
    copies: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """`acls` is None where there is no authorizer."""

    brokers: int
    topics: Mapping[str, FoundTopic]
    acls: Collection[Acl] | None


@dataclass(slots=True)
class AccessPlan:
    """`notes` tell what differs and stays as it is."""

    copies: int
    make: dict[str, TopicSettings] = field(default_factory=dict)
    grow: dict[str, int] = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    give: list[Acl] = field(default_factory=list)
    take: list[Acl] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def changes(self) -> list[str]:
        """A line for each, in the order in which they are made."""
        return [*self._of_topics(), *self._of_rights()]

    def _of_topics(self) -> Iterator[str]:
        for topic, (partitions, _) in self.make.items():
            yield f"{topic}: made with {partitions} partitions, copies of each: {self.copies}"
        for topic, partitions in self.grow.items():
            yield f"{topic}: {partitions} partitions"
        for topic, values in self.settings.items():
            yield f"{topic}: " + ", ".join(f"{name} is {value}" for name, value in values.items())

    def _of_rights(self) -> Iterator[str]:
        yield from (str(acl) for acl in self.give)
        yield from (f"{acl}: taken back" for acl in self.take)


def acl_of(right: Right) -> Acl:
    return Acl(
        RESOURCE_NUMBERS[right.resource],
        right.name,
        LITERAL,
        f"User:{right.principal}",
        "*",
        OPERATION_NUMBERS[right.operation],
        ALLOW,
    )


def plan(
    found: FoundCluster,
    topics: Mapping[str, TopicSettings],
    rights: Iterable[Right],
    partitions: int | None = None,
    copies: int | None = None,
) -> AccessPlan:
    """`partitions` are those of each topic of events; without it, none gets more.

    A compacted topic keeps its number: what covers or erases an older value of a key has to stand in
    the same partition (docs/topics.md).
    """
    made = AccessPlan(copies or min(3, found.brokers))
    for name, (declared, settings) in topics.items():
        wanted = partitions if partitions and _may_grow(declared, settings) else declared
        if (there := found.topics.get(name)) is None:
            made.make[name] = wanted, settings
            continue
        if partitions and there.partitions < wanted:
            made.grow[name] = wanted
        if is_compacted(settings) and there.partitions > declared:
            why = f"{there.partitions} partitions, not {declared}: what was there before stays"
            made.notes.append(f"{name}: {why} when its key is erased")
        _compare_settings(made, name, there, settings)
        if there.copies < made.copies:
            why = f"copies of each partition: {there.copies}, not {made.copies}"
            made.notes.append(f"{name}: {why}; kafka-reassign-partitions makes more")
    if found.acls is None:
        made.notes.append("this Kafka has no authorizer: anyone may do anything")
    else:
        _compare_rights(made, set(found.acls), {acl_of(right) for right in rights}, topics)
    return made


def is_compacted(settings: Mapping[str, str]) -> bool:
    return settings.get("cleanup.policy") == "compact"


def _may_grow(declared: int, settings: Mapping[str, str]) -> bool:
    return declared > 1 and not is_compacted(settings)


def _compare_settings(
    made: AccessPlan, name: str, there: FoundTopic, settings: Mapping[str, str]
) -> None:
    for setting, wanted in settings.items():
        has = there.settings.get(setting)
        if has == wanted or (has and setting in AT_LEAST and int(has) > int(wanted)):
            continue
        if has is not None and setting in OPERATORS:
            made.notes.append(f"{name}: {setting} is {has} and stays; see `saga retention`")
        else:
            made.settings.setdefault(name, {})[setting] = wanted


def _compare_rights(
    made: AccessPlan, has: set[Acl], wanted: set[Acl], topics: Collection[str]
) -> None:
    """Nothing is taken from principals that are not the system's own, and no denial is lifted."""
    own = {acl for acl in has if acl.principal in OURS}
    made.give = sorted(wanted - own)
    made.take = sorted(acl for acl in own - wanted if acl.permission == ALLOW)
    made.notes += [str(acl) for acl in sorted(own - wanted) if acl.permission != ALLOW]
    made.notes += [
        f"{acl}, though it is no service"
        for acl in sorted(has - own)
        if acl.permission == ALLOW and acl.operation in WRITES and _is_of(acl, topics)
    ]


def _is_of(acl: Acl, topics: Collection[str]) -> bool:
    if acl.resource != TOPIC:
        return False
    if acl.pattern == LITERAL:
        return acl.name == "*" or acl.name in topics
    return any(topic.startswith(acl.name) for topic in topics)
