"""What a person has to put right before Kafka lets a client in."""

from typing import Final

from aiokafka.errors import KafkaConnectionError

from chassis.kafka.permitted import NotPermittedError


class NotLetInError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka carries no types
    """Its text is one line, which names the setting. To aiokafka it is a broker that can't be reached."""

    def __str__(self) -> str:
        return str(self.args[0])


REFUSALS: Final = (NotLetInError, NotPermittedError)


def reason_of(error: BaseException) -> str:
    """For logs and operators: what has to be put right where that is known, else the error."""
    return str(error) if isinstance(error, REFUSALS) else repr(error)
