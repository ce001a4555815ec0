"""What a service may do in Redis is what its code does there: each command of it, and no other."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

import chassis.redis
from chassis.kafka import Cluster
from chassis.redis import rights
from inventory_svc import availability
from loyalty_svc.store import KEYS
from saga_cli.stack.redis_acl import USERS, acl_file
from saga_cli.topology import ADMIN, BY_NAME, addresses_of, environment_of

FOLDER: Final = Path(str(chassis.redis.__file__)).parent
TEXT: Final = "\n".join(
    path.read_text("utf-8")
    for path in FOLDER.iterdir()
    if path.suffix in {".py", ".lua"} and path.stem != "rights"
)
BY_SCRIPTS: Final = re.compile(r"redis\.call\(\s*'([A-Z]+)'")
BY_THE_STORE: Final = re.compile(r"\b(?:read|check|write)\(\s*\"([A-Z]+)\"")
CLIENTS: Final = {"scan": "scan_iter"}
DANGEROUS: Final = {"flushall", "flushdb", "keys", "config", "debug", "shutdown", "acl", "sort"}
PASSWORDS: Final = {"admin": "root", "loyalty": "hidden-1", "inventory": "hidden-2"}


def test_each_command_of_the_scripts_and_the_store_is_allowed() -> None:
    used = {name.lower() for by in (BY_SCRIPTS, BY_THE_STORE) for name in by.findall(TEXT)}
    assert len(used) > 25
    assert used - rights.STATE.keys() == set()


@pytest.mark.parametrize("command", sorted(rights.STATE))
def test_what_is_allowed_is_used(command: str) -> None:
    method = CLIENTS.get(command, command)
    assert re.search(rf"['\"]{command.upper()}['\"]|\.{method}\(", TEXT)


def test_nothing_is_allowed_that_empties_or_reads_all_of_redis() -> None:
    allowed = rights.CONNECTING | rights.CACHE | rights.STATE.keys()
    assert {command.partition("|")[0] for command in allowed} & DANGEROUS == set()


def test_keys_begin_as_the_manifests_say() -> None:
    assert BY_NAME["loyalty"].redis_keys == KEYS.prefix
    assert availability.key_of("TEA").startswith(BY_NAME["inventory"].redis_keys)
    prefixes = [spec.redis_keys for spec in USERS]
    assert "" not in prefixes
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and a.startswith(b)]


def test_the_file_has_a_user_of_each_service_and_no_password_in_it() -> None:
    found = acl_file(PASSWORDS)
    names = [line.split()[1] for line in found.splitlines()]
    assert names == ["default", ADMIN, *(spec.name for spec in USERS)]
    assert "user default off" in found
    assert not [text for text in PASSWORDS.values() if text in found]
    (loyalty,) = (line for line in found.splitlines() if line.startswith("user loyalty "))
    assert " resetkeys ~loyalty:* resetchannels -@all +del " in loyalty


def test_each_service_logs_in_as_itself_where_redis_has_these_users() -> None:
    url = "rediss://admin:root@h:1?ssl_ca_certs=/ca"
    own = addresses_of(Cluster("h:1"), "postgresql://saga:root@h:1/postgres", url)
    given = environment_of(BY_NAME["inventory"], own, 1)["INVENTORY_REDIS_URL"]
    password = own.passwords["inventory"]
    assert given == f"rediss://inventory:{password}@h:1/1?ssl_ca_certs=/ca"
    others = replace(own, redis_url="redis://default:p@h:1")
    assert others.store_of("loyalty") == "redis://default:p@h:1/0"
