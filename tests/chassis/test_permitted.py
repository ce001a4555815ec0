"""What a right that Kafka does not give is called, and how a topic is made under an authorizer."""

from types import SimpleNamespace
from typing import Any, Final

import pytest
from aiokafka.errors import (
    InvalidReplicationFactorError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.metadata import MetadataRequest_v5

from chassis.kafka import NotPermittedError, make_topics
from chassis.kafka.permitted import hidden_topics, refuse_hidden

FORBIDDEN: Final = TopicAuthorizationFailedError.errno
GIVES: Final = "; `saga topics apply` gives it"


class StubAdmin:
    """A broker that answers with these codes for topics; those that are not named are not there."""

    def __init__(
        self, *, asked: dict[str, int] | None = None, made: dict[str, int] | None = None
    ) -> None:
        self.asked, self.made = asked or {}, made or {}
        self.creates: list[str] = []

    async def _send_request(self, request: Any) -> Any:
        built = request.build(MetadataRequest_v5)
        assert built.allow_auto_topic_creation is False
        codes = [{"topic": t, "error_code": self.asked.get(t, 3)} for t in built.topics]
        return SimpleNamespace(to_object=lambda: {"topics": codes})

    async def create_topics(self, topics: list[Any]) -> Any:
        self.creates += [topic.name for topic in topics]
        errors = [(topic.name, self.made.get(topic.name, 0), "why") for topic in topics]
        return SimpleNamespace(topic_errors=errors)


async def made(admin: StubAdmin, *names: str) -> str:
    """What is refused, or ""."""
    try:
        await make_topics(admin, {name: (1, {}) for name in names}, 1)
    except NotPermittedError as error:
        return str(error)
    return ""


async def test_a_topic_that_is_hidden_is_told_from_one_that_is_not_there() -> None:
    admin = StubAdmin(asked={"b": FORBIDDEN, "a": FORBIDDEN, "c": 0})
    await refuse_hidden(admin, {"c", "d"})
    with pytest.raises(NotPermittedError) as refused:
        await refuse_hidden(admin, {"a", "b", "c", "d"})
    assert str(refused.value) == f"Kafka gives no right to a, b{GIVES}"


async def test_who_may_not_make_topics_says_who_does() -> None:
    admin = StubAdmin(made={"a": FORBIDDEN, "b": FORBIDDEN, "c": 0})
    assert await made(admin, "b", "a", "c") == (
        "a, b: missing, and Kafka does not let this client make topics;"
        " `saga topics apply` makes them"
    )


async def test_who_may_not_even_see_the_topic_says_that() -> None:
    admin = StubAdmin(asked={"a": FORBIDDEN}, made={"a": FORBIDDEN})
    assert await made(admin, "a") == f"Kafka gives no right to a{GIVES}"


async def test_a_topic_that_another_has_made_meanwhile_is_well() -> None:
    admin = StubAdmin(made={"a": TopicAlreadyExistsError.errno})
    assert await make_topics(admin, {"a": (1, {}), "b": (1, {})}, 1) == ["b"]
    assert admin.creates == ["a", "b"]


async def test_any_other_refusal_is_an_error_and_not_taken_for_a_topic() -> None:
    admin = StubAdmin(made={"a": InvalidReplicationFactorError.errno})
    with pytest.raises(InvalidReplicationFactorError, match="a: why"):
        await make_topics(admin, {"a": (1, {})}, 3)


async def test_where_nothing_is_missing_nobody_is_asked() -> None:
    admin = StubAdmin()
    assert await make_topics(admin, {}, 1) == []
    await refuse_hidden(admin, ())
    assert admin.creates == []


def test_a_consumer_knows_what_it_may_not_see() -> None:
    cluster = SimpleNamespace(unauthorized_topics={"a"})
    assert hidden_topics(SimpleNamespace(_client=SimpleNamespace(cluster=cluster))) == {"a"}
