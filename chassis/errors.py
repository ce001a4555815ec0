"""What can go wrong in the mechanism.

ChassisError
 +- CannotStartError         a setting is wrong, or what a start needs is not to be had now
 |   +- UnusableStoreError   its data are not whole: a person has to act before the service starts
 +- LogLostError             what was published is gone from Kafka: a person has to put it back
 +- ClockInDoubtError        nothing may be deleted by the store's clock
 +- TransientError           try the same again: a server is away, or somebody was faster
 |   +- ConcurrentChangeError
 |   +- AccessError          a server does not let us in, or is not the one that it should be
 |   +- LeadLostError        another instance relays now, or a session that led has ended
 |   +- SecretError          a file that holds a secret can't be read now
 |   +- StoreLostError       its data are gone, or were made anew: start again from its positions
 +- ProviderError            the outside did not say what became of a call
     +- RefusedError         it refuses this call as it stands: a person has to act
     +- MisconfiguredError   it refuses us, whoever the call is for: a person has to act
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final, TypeVar

CAUSES_MAX: Final = 5
E = TypeVar("E", bound=BaseException)


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from or while it was handled, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def cause_of(error: BaseException | None, kind: type[E]) -> E | None:
    """The first of a kind among an error and its nearest causes; clients wrap what their own tasks raise."""
    causes = islice(chain_of(error), CAUSES_MAX)
    return next((cause for cause in causes if isinstance(cause, kind)), None)


class ChassisError(Exception):
    """The root of all errors of the chassis."""


class CannotStartError(ChassisError):
    """A process ends before it serves, with exit code 2 where its settings are wrong, else with 1."""

    def __init__(self, why: str, code: int = 1) -> None:
        super().__init__(why)
        self.code = code


class UnusableStoreError(CannotStartError):
    """The store's data are not whole, and this process can't make them so."""


class LogLostError(ChassisError):
    """A topic that was published to is gone, and its events are kept."""


class FormerLayoutError(ChassisError):
    """Events are in topics of an earlier layout, which this process would not read or write."""


class ClockInDoubtError(ChassisError):
    """The store's clock has jumped, or differs from this process's: nothing is deleted by it."""


class TransientError(ChassisError):
    """Trying again later can help."""


class ConcurrentChangeError(TransientError):
    """Another transaction changed the same rows first."""


class AccessError(TransientError):
    """A server refuses us, or its certificate is not trusted; names the setting to look at."""


class LeadLostError(TransientError):
    """Another process relays from now on, or may; nothing else is wrong."""


class SecretError(TransientError):
    """A file that holds a secret can't be read now; names its variable, and never quotes the text."""


class StoreLostError(TransientError):
    """The store has lost its data, or they were rebuilt: what was read from it counts no more."""


class ProviderError(ChassisError):
    """A call's outcome is unknown: it is asked again, after `retry_after_s` if the provider said so."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class RefusedError(ProviderError):
    """The provider answered that the call is invalid, and nothing happened: the same call never will.

    It is not made again by itself. Who has removed the cause lets it be (`saga expedite`), or records
    the outcome (`saga resolve`).
    """


class MisconfiguredError(ProviderError):
    """The provider refuses us, whoever the call is for: wrong credentials, a closed account."""


OUTAGES: Final = (ChassisError, OSError, MemoryError)
"""Nobody's data are at fault: the same is tried again."""
