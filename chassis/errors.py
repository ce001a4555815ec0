"""What can go wrong in the mechanism.

ChassisError
 +- TransientError           try the same again: a server is away, or somebody was faster
 |   +- ConcurrentChangeError
 +- NotLeaderError           another instance relays this shard
"""


class ChassisError(Exception):
    """The root of all errors of the chassis."""


class TransientError(ChassisError):
    """Trying again later can help."""


class ConcurrentChangeError(TransientError):
    """Another transaction changed the same rows first."""


class NotLeaderError(ChassisError):
    """Another instance relays this shard."""
