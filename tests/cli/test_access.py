"""Rights on Kafka, as they follow from the declarations; how they are shown; what a cluster lacks."""

import argparse
import json
import shlex
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from chassis.events import dead_letters_of
from chassis.kafka import KEEP_FOR_EVER
from chassis.kafka.clients import COMPACTED
from chassis.topic_layout import TopicLayout
from guarantees.declared import readers_of, service_of
from saga_cli.access.broker import Acl
from saga_cli.access.plan import AccessPlan, FoundCluster, FoundTopic, acl_of, plan
from saga_cli.access.right import READER, AclResource, Operation, Right
from saga_cli.access.rights import rights, rights_of, topics
from saga_cli.log.reader import LANES, TOPICS
from saga_cli.topology import BY_NAME, CONSOLE
from shared_events.catalog import CATALOG, CUSTOMERS, DELIVERY_DETAILS, PAYMENT_DETAILS
from shared_events.lanes import FORMER
from tests.support.saga import saga

READ, WRITE, DESCRIBE = Operation.READ, Operation.WRITE, Operation.DESCRIBE
LETTERS: Final = {dead_letters_of(name): name for name in BY_NAME}


def who(operation: Operation, topic: str, *, moving: bool = False) -> set[str]:
    return {
        right.principal
        for right in rights(moving=moving)
        if (right.operation, right.resource, right.name) == (operation, AclResource.TOPIC, topic)
    }


def test_a_service_may_do_what_it_declares_and_nothing_else() -> None:
    own = {(r.operation, r.name) for r in rights() if r.principal == "payment"}
    lanes = {"payment.forward", "payment.backward", "payment.facts"}
    consumed = {"inventory.forward", "order.cancellation", "shipping.backward"}
    former = {f"{name}.events" for name in ("inventory", "order", "shipping")}
    assert own == {
        *((WRITE, topic) for topic in lanes | {"payment.dead-letters"}),
        *(
            (READ, topic)
            for topic in lanes | consumed | {"payment.events", "payment", PAYMENT_DETAILS}
        ),
        *((DESCRIBE, topic) for topic in former),
    }


def test_every_topic_is_written_by_its_owner_alone() -> None:
    assert {topic: who(WRITE, topic) for topic in topics()} == {
        **{topic: {topic.partition(".")[0]} for topic in LANES},
        **{topic: {owner} for topic, owner in LETTERS.items()},
        **{topic: {"order"} for topic in CATALOG.compacted},
    }
    assert all(who(WRITE, f"{name}.events") == set() for name in FORMER)


def test_a_topic_is_read_by_who_consumes_it_and_by_its_owner() -> None:
    for topic in LANES:
        assert who(READ, topic) - {READER, CONSOLE.name} == readers_of(topic)
        assert who(READ, topic) >= {READER, CONSOLE.name}
    assert who(READ, DELIVERY_DETAILS) == {"shipping"}
    assert who(READ, PAYMENT_DETAILS) == {"payment"}
    assert who(READ, CUSTOMERS) == {"order", "loyalty"}
    assert all(who(READ, topic) == {READER} for topic in LETTERS)


def test_what_waits_in_a_topic_of_before_is_seen_and_read_again_by_who_keeps_positions() -> None:
    seen = {topic: who(DESCRIBE, topic) for topics in FORMER.values() for topic in topics}
    assert seen["order.events"] == {"inventory", "payment", "shipping"}
    assert who(READ, "order.events") == {"order", "loyalty", READER, CONSOLE.name}


def test_a_service_has_its_own_group() -> None:
    groups = {r for r in rights() if r.resource is AclResource.GROUP}
    assert groups == {
        *(Right(name, AclResource.GROUP, name, READ) for name in BY_NAME),
        *(Right(READER, AclResource.GROUP, name, DESCRIBE) for name in BY_NAME),
    }


def test_while_a_system_moves_processes_of_every_layout_may_work() -> None:
    allowed = {*rights(moving=True)}
    for name, spec in BY_NAME.items():
        for layout in TopicLayout:
            service = service_of(name)
            needed = rights_of(service, keeps_positions=not spec.has_database, layout=layout)
            assert needed <= allowed
        assert who(WRITE, f"{name}.events", moving=True) == {name}
    assert {*rights()} < allowed
    assert {*topics(moving=True)} - {*topics()} == {*TOPICS} - {*LANES}


def commands_of(text: str) -> Iterator[Right]:
    parser = argparse.ArgumentParser()
    for option in ("--bootstrap-server", "--command-config", "--allow-principal", "--operation"):
        parser.add_argument(option, required=True)
    for option in ("--add", "--force"):
        parser.add_argument(option, action="store_true", required=True)
    for option in ("--topic", "--group"):
        parser.add_argument(option, action="append", default=[])
    for line in text.splitlines():
        program, *words = shlex.split(line)
        assert program == "kafka-acls"
        given = parser.parse_args(words)
        principal, operation = given.allow_principal.removeprefix("User:"), camel(given.operation)
        for resource, names in ((AclResource.TOPIC, given.topic), (AclResource.GROUP, given.group)):
            yield from (Right(principal, resource, name, operation) for name in names)


def users_of(text: str) -> Iterator[Right]:
    for user in yaml.safe_load_all(text):
        assert (user["apiVersion"], user["kind"]) == ("kafka.strimzi.io/v1", "KafkaUser")
        assert user["metadata"]["labels"] == {"strimzi.io/cluster": "shop"}
        assert user["spec"]["authentication"] == {"type": "scram-sha-512"}
        for acl in user["spec"]["authorization"]["acls"]:
            assert acl["resource"].pop("patternType") == "literal"
            place = AclResource(acl["resource"]["type"]), acl["resource"]["name"]
            for operation in acl["operations"]:
                yield Right(user["metadata"]["name"], *place, camel(operation))


def entries_of(text: str) -> Iterator[Right]:
    for entry in json.loads(text):
        assert (entry["host"], entry["patternType"], entry["permissionType"]) == (
            *("*", "LITERAL", "ALLOW"),
        )
        resource = AclResource(entry["resourceType"].lower())
        principal = entry["principal"].removeprefix("User:")
        yield Right(principal, resource, entry["name"], Operation(entry["operation"]))


def camel(operation: str) -> Operation:
    return next(o for o in Operation if o.replace("_", "").lower() == operation.lower())


READERS: Final[dict[str, Any]] = {
    "kafka-acls": commands_of,
    "strimzi": users_of,
    "json": entries_of,
}


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("moving", [[], ["--moving"]], ids=["lanes", "moving"])
def test_each_format_says_all_rights_and_no_others(form: str, moving: list[str]) -> None:
    ended = saga("acl", "--format", form, "--cluster", "shop", *moving)
    assert ended.code == 0, ended
    found = [*READERS[form](ended.out)]
    assert len(found) == len({*found})
    assert {*found} == {*rights(moving=bool(moving))}


def test_some_principals_are_asked_for_by_name() -> None:
    chosen = [*entries_of(saga("acl", "--format", "json", "--principal", "order,reader").out)]
    assert {right.principal for right in chosen} == {"order", "reader"}
    refused = saga("acl", "--principal", "bank")
    assert refused.code == 2
    assert refused.err.startswith("saga: no such principal: bank; there are order, ")


A_TOPIC: Final = FoundTopic(6, 1, KEEP_FOR_EVER)
WANTED: Final = {"order.forward": (6, KEEP_FOR_EVER), "order.dead-letters": (1, KEEP_FOR_EVER)}
SERVED: Final = Right("order", AclResource.TOPIC, "order.forward", WRITE)
"""The one right that these clusters are to have."""


def planned(found: FoundTopic, *acls: Acl, brokers: int = 1, **options: Any) -> AccessPlan:
    letters = FoundTopic(1, 1, KEEP_FOR_EVER)
    there = {"order.forward": found, "order.dead-letters": letters}
    cluster = FoundCluster(brokers, there, {acl_of(SERVED), *acls})
    return plan(cluster, WANTED, [SERVED], **options)


def test_what_is_as_it_should_be_is_left_alone() -> None:
    assert planned(A_TOPIC) == AccessPlan(1)


def test_what_is_missing_is_made_with_as_many_copies_as_there_may_be() -> None:
    made = plan(FoundCluster(5, {}, set()), WANTED, [SERVED])
    assert made.changes == [
        "order.forward: made with 6 partitions, copies of each: 3",
        "order.dead-letters: made with 1 partitions, copies of each: 3",
        "User:order may WRITE topic order.forward",
    ]
    assert made.notes == []


def test_a_topic_gets_more_partitions_only_where_they_are_asked_for() -> None:
    small = FoundTopic(3, 1, KEEP_FOR_EVER)
    assert planned(small) == AccessPlan(1)
    assert planned(small, partitions=12).changes == ["order.forward: 12 partitions"]
    assert planned(small, partitions=2) == AccessPlan(1)


def test_a_compacted_topic_keeps_its_partitions_as_a_key_is_erased_where_it_stands() -> None:
    wanted = {CUSTOMERS: (6, COMPACTED)}

    def of(partitions: int) -> AccessPlan:
        there = {CUSTOMERS: FoundTopic(partitions, 1, COMPACTED)}
        return plan(FoundCluster(1, there, set()), wanted, [], partitions=12)

    assert of(6) == AccessPlan(1)
    assert plan(FoundCluster(1, {}, set()), wanted, [], partitions=12).make == wanted
    assert of(12).changes == []
    why = "12 partitions, not 6: what was there before stays when its key is erased"
    assert of(12).notes == [f"{CUSTOMERS}: {why}"]


def test_a_setting_that_was_chosen_stays_where_it_may_be_chosen() -> None:
    kept = {**KEEP_FOR_EVER, "retention.ms": "86400000", "cleanup.policy": "compact"}
    made = planned(FoundTopic(6, 1, kept))
    assert made.changes == ["order.forward: cleanup.policy is delete"]
    (note,) = made.notes
    assert note.startswith("order.forward: retention.ms is 86400000 and stays")
    assert planned(FoundTopic(6, 1, {})).settings == {"order.forward": KEEP_FOR_EVER}


def test_a_larger_record_may_be_allowed_and_a_smaller_one_not() -> None:
    limits = {"t": (1, {"max.message.bytes": "2000"})}
    for has, changes in (("3000", 0), ("2000", 0), ("1000", 1)):
        found = FoundCluster(1, {"t": FoundTopic(1, 1, {"max.message.bytes": has})}, set())
        assert len(plan(found, limits, []).changes) == changes


def test_fewer_copies_are_told_as_this_command_makes_no_others() -> None:
    made = planned(A_TOPIC, brokers=3, copies=2)
    assert made.changes == []
    assert [note.partition(":")[0] for note in made.notes] == [
        "order.forward",
        "order.dead-letters",
    ]
    assert made.notes[0].startswith("order.forward: copies of each partition: 1, not 2")


def test_a_service_keeps_no_right_that_is_not_declared() -> None:
    more = acl_of(Right("order", AclResource.TOPIC, "payment.forward", WRITE))
    prefixed = acl_of(SERVED)._replace(name="order.", pattern=4)
    made = planned(A_TOPIC, more, prefixed)
    assert {*made.take} == {more, prefixed}
    assert made.give == []
    assert "User:order may WRITE topic payment.forward: taken back" in made.changes


def test_others_are_left_alone_and_told_of_where_they_may_write_what_is_ours() -> None:
    reads = acl_of(SERVED)._replace(principal="User:bob", operation=3)
    elsewhere = acl_of(SERVED)._replace(principal="User:bob", name="weather")
    writes = acl_of(SERVED)._replace(principal="User:bob")
    every = acl_of(SERVED)._replace(principal="User:eve", name="order.", pattern=4, operation=2)
    denied = acl_of(SERVED)._replace(permission=2)
    made = planned(A_TOPIC, reads, elsewhere, writes, every, denied)
    assert made.changes == []
    assert made.notes == [
        "User:order may not WRITE topic order.forward",
        "User:eve may ALL topic order.*, though it is no service",
        "User:bob may WRITE topic order.forward, though it is no service",
    ]


def test_without_an_authorizer_topics_are_made_and_rights_are_not() -> None:
    made = plan(FoundCluster(1, {}, None), WANTED, [SERVED])
    assert len(made.changes) == len(WANTED)
    assert made.notes == ["this Kafka has no authorizer: anyone may do anything"]
