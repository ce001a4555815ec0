"""Topics under an authorizer: made if that is permitted, and distinguished from those that may not be seen.

A list of topics leaves out what a client may not see, as if it were not there; asked by its name, Kafka
answers that it is forbidden, whether it exists or not.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from aiokafka.admin import NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

FORBIDDEN: Final = {TopicAuthorizationFailedError.errno, ClusterAuthorizationFailedError.errno}


class NotPermittedError(KafkaError):  # type: ignore[misc]  # aiokafka carries no types
    """A right is missing: a person has to give it. Its text is one line, for that person."""

    def __str__(self) -> str:
        return str(self.args[0])


def no_right_to(what: Collection[str]) -> str:
    """In one line, that a right is missing, and who gives it; "" for nothing."""
    named = ", ".join(sorted(what))
    return f"Kafka gives no right to {named}; `saga topics apply` gives it" if named else ""


def hidden_topics(client: Any) -> set[str]:
    """Of those that a consumer subscribes to, what it may not see, and is assigned nothing of."""
    return set(client._client.cluster.unauthorized_topics)  # noqa: SLF001 - there is no public way


async def refuse_hidden(admin: Any, names: Collection[str]) -> None:
    """Raises NotPermittedError for those that this client may not see; others need not exist."""
    if not names:
        return
    asked = MetadataRequest(sorted(names), allow_auto_topic_creation=False)
    answer = (await admin._send_request(asked)).to_object()  # noqa: SLF001 - the public way makes them
    hidden = [t["topic"] for t in answer["topics"] if t["error_code"] in FORBIDDEN]
    if hidden:
        raise NotPermittedError(no_right_to(hidden))


async def make_topics(
    admin: Any, topics: Mapping[str, tuple[int, Mapping[str, str]]], copies: int
) -> list[str]:
    """Partitions and settings by name; what somebody has made meanwhile is well. Returns what was made.

    Raises NotPermittedError where this client may not make topics, KafkaError for any other refusal.
    """
    if not topics:
        return []
    new = [
        NewTopic(name, partitions, copies, topic_configs=dict(settings))
        for name, (partitions, settings) in sorted(topics.items())
    ]
    errors = {
        name: (code, why) for name, code, why in (await admin.create_topics(new)).topic_errors
    }
    if forbidden := sorted(name for name, (code, _) in errors.items() if code in FORBIDDEN):
        await refuse_hidden(admin, forbidden)
        raise NotPermittedError(
            f"{', '.join(forbidden)}: missing, and Kafka does not let this client make topics; "
            "`saga topics apply` makes them"
        )
    for name, (code, why) in errors.items():
        if code not in {0, TopicAlreadyExistsError.errno}:
            raise for_code(code)(f"{name}: {why}")
    return [name for name, (code, _) in errors.items() if code == 0]
