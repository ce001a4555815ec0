"""The ports on Redis: one script that compares and writes, and a rebuild from the log."""

from chassis.redis import keys, rights
from chassis.redis.database import RedisDatabase
from chassis.redis.inspection import RedisInspection
from chassis.redis.keys import Keys
from chassis.redis.outbox import LEASE_MS
from chassis.redis.projected import ProjectedHash
from chassis.redis.rebuild import Rebuild
from chassis.redis.server import Server
from chassis.redis.store import RedisStore
from chassis.redis.tables import Layout, SharedHash, StateHash
from chassis.redis.types import AWAY, condemns, reconnect

__all__ = [
    "AWAY",
    "LEASE_MS",
    "Keys",
    "Layout",
    "ProjectedHash",
    "Rebuild",
    "RedisDatabase",
    "RedisInspection",
    "RedisStore",
    "Server",
    "SharedHash",
    "StateHash",
    "condemns",
    "keys",
    "reconnect",
    "rights",
]
