"""Commands that a service's user needs in Redis, as ACLs name them; on keys of its own alone."""

from collections.abc import Mapping
from typing import Final

KEY: Final = "KEY"
CONNECTING: Final = frozenset({"info", "ping", "select"})
"""What each connection begins with. INFO is one of @dangerous, which has nothing else that is needed."""
CACHE: Final = frozenset({"mget", "set"})
"""Of what is a cache only."""
STATE: Final[Mapping[str, str]] = {
    "eval": "script 0",
    "scan": "0",
    "time": "",
    "del": KEY,
    "exists": KEY,
    "get": KEY,
    "pexpire": f"{KEY} 1",
    "pttl": KEY,
    "set": f"{KEY} v",
    "hdel": f"{KEY} f",
    "hexists": f"{KEY} f",
    "hget": f"{KEY} f",
    "hgetall": KEY,
    "hkeys": KEY,
    "hincrby": f"{KEY} f 1",
    "hlen": KEY,
    "hmget": f"{KEY} f",
    "hset": f"{KEY} f v",
    "lindex": f"{KEY} 0",
    "llen": KEY,
    "lpop": KEY,
    "lrange": f"{KEY} 0 1",
    "lrem": f"{KEY} 1 v",
    "lset": f"{KEY} 0 v",
    "rpush": f"{KEY} v",
    "xadd": f"{KEY} * f v",
    "xdel": f"{KEY} 0-1",
    "xlen": KEY,
    "xrange": f"{KEY} - +",
    "xtrim": f"{KEY} MINID 0",
    "zadd": f"{KEY} 1 m",
    "zcard": KEY,
    "zrange": f"{KEY} 0 1",
    "zrem": f"{KEY} m",
}
"""Of a service that keeps its state there, each with arguments as it takes them.

They are for `redis.acl_check_cmd`, which ends some servers where a command has too few of them.
"""


def rule_of(key_prefix: str, *, keeps_state: bool) -> str:
    """The rights of one user, without its name and its password (redis.io: ACL rules)."""
    commands = sorted(CONNECTING.union(STATE if keeps_state else CACHE))
    allowed = " ".join(f"+{command}" for command in commands)
    return f"resetkeys ~{key_prefix}* resetchannels -@all {allowed}"


def probes(key: str) -> list[str]:
    """Each command of STATE on a key, as a line of words."""
    return [f"{name} {arguments.replace(KEY, key)}".strip() for name, arguments in STATE.items()]
