"""Sentinels with logins and TLS: what a service says of a setting that is wrong there, and what heals it.

A proxy terminates TLS in front of the sentinel, and one in front of the Redis that it names.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from redis.exceptions import ConnectionError as LostConnectionError

from chassis.errors import CannotStartError, ChassisError
from chassis.message import Decided
from chassis.process.runtime import Node
from chassis.redis import RedisDatabase
from saga_cli.stack import binaries, servers
from saga_cli.stack.authority import Authority
from saga_cli.stack.processes import ChildProcess
from tests.integration.test_redis_access import (
    HOST,
    a_shipment,
    as_user,
    denied_and_then_healed,
    handled,
    node_on,
    set_user,
)
from tests.support.redis_users import PASSWORDS, held_port, redis_with_users, running
from tests.support.tls_proxy import TlsProxy, tls_proxy
from tests.support.waiting import until_async

SENTINEL: Final = """
bind {host}
port {port}
user default off
user admin on >admin-hidden ~* &* +@all
user watcher on >watcher-hidden -@all +sentinel|masters
user blind on >watcher-hidden -@all +ping
"""
NEVER_MS: Final = "600000"
"""After so long a primary is taken for down: the sentinel itself can't speak to one with TLS."""


@dataclass(frozen=True)
class Watched:
    """Ports of a Redis and of its sentinel, and proxies with TLS to both, which the sentinel calls `points`.

    It calls the Redis without TLS `plain`.
    """

    redis: int
    sentinel: int
    to_redis: TlsProxy
    to_sentinel: TlsProxy
    authority: Authority
    folder: Path

    def cut(self) -> None:
        self.to_redis.cut()
        self.to_sentinel.cut()

    def database(self, **changes: str) -> RedisDatabase:
        """As the variables of a service say it; {ports} are those of this."""
        (self.folder / "ca.crt").write_text(self.authority.ca_file.read_text())
        (self.folder / "password").write_text(PASSWORDS["loyalty"])
        (self.folder / "sentinel").write_text("watcher-hidden")
        variables = {
            "X_REDIS_URL": "rediss://loyalty@points/0",
            "X_REDIS_PASSWORD_FILE": str(self.folder / "password"),
            "X_REDIS_CA_FILE": str(self.folder / "ca.crt"),
            "X_REDIS_SENTINELS": f"{HOST}:{{to_sentinel.port}}",
            "X_REDIS_SENTINEL_USER": "watcher",
            "X_REDIS_SENTINEL_PASSWORD_FILE": str(self.folder / "sentinel"),
        } | changes
        fields = vars(self)
        given = {name: text.format(**fields) for name, text in variables.items()}
        found = RedisDatabase.given(given, "X")
        assert found is not None
        return found

    async def monitor(self, name: str, port: int) -> None:
        async with self.asked() as sentinel:
            await sentinel.execute_command("SENTINEL", "MONITOR", name, HOST, port, 1)
            how = ("down-after-milliseconds", NEVER_MS)
            await sentinel.execute_command("SENTINEL", "SET", name, *how)

    async def forget(self, name: str) -> None:
        async with self.asked() as sentinel:
            await sentinel.execute_command("SENTINEL", "REMOVE", name)

    def asked(self) -> Any:
        """Its sentinel, as an administrator."""
        return as_user(self.sentinel, "admin")


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    with redis_with_users() as made:
        yield made


@pytest.fixture(scope="module")
def sentinel_port() -> Iterator[int]:
    with servers.private_folder() as folder, held_port() as port:
        config = folder / "sentinel.conf"
        config.write_text(SENTINEL.format(host=HOST, port=port))
        command = [binaries.redis_server(), str(config), "--sentinel"]
        with running(ChildProcess("sentinel", command, folder / "sentinel.log"), b"Sentinel ID is"):
            yield port


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.at(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture
async def watched(
    redis_port: int, sentinel_port: int, authority: Authority, tmp_path: Path
) -> AsyncIterator[Watched]:
    proof = authority.issue("redis", (HOST,)).both
    async with AsyncExitStack() as held:
        to_redis = await held.enter_async_context(tls_proxy(redis_port, proof))
        to_sentinel = await held.enter_async_context(tls_proxy(sentinel_port, proof))
        made = Watched(redis_port, sentinel_port, to_redis, to_sentinel, authority, tmp_path)
        for name, port in (("points", made.to_redis.port), ("plain", redis_port)):
            await made.monitor(name, port)
        yield made
        for name in ("points", "plain"):
            await made.forget(name)


@pytest.fixture
async def node(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A process of the service, as far as its Redis goes."""
    async with node_on(watched.database(), monkeypatch) as made:
        yield made


async def test_a_service_does_its_work_where_its_sentinels_ask_for_a_login_over_tls(
    node: Node, watched: Watched
) -> None:
    assert isinstance(await handled(node), Decided)
    assert await node.conditions() == ()
    watched.cut()
    await until_async(is_ready(node), 30, "other connections")
    assert isinstance(await handled(node), Decided)


async def test_without_tls_they_are_asked_with_the_same_login(watched: Watched) -> None:
    how = {
        "X_REDIS_URL": "redis://loyalty@plain/0",
        "X_REDIS_SENTINELS": f"{HOST}:1, {HOST}:{{sentinel}}",
    }
    async with watched.database(**how).client(socket_timeout=30) as redis:
        assert await redis.ping()


WRONG: Final = {
    "the sentinels' password": (
        {"X_REDIS_SENTINEL_PASSWORD_FILE": "", "X_REDIS_SENTINEL_PASSWORD": "wrong-one"},
        "X_REDIS_SENTINEL_PASSWORD: sentinel {at}: ",
    ),
    "the sentinels' user": (
        {"X_REDIS_SENTINEL_USER": "loyalty"},
        "X_REDIS_SENTINEL_PASSWORD_FILE: sentinel {at}: ",
    ),
    "no login": (
        {"X_REDIS_SENTINEL_PASSWORD_FILE": "", "X_REDIS_SENTINEL_USER": ""},
        "X_REDIS_SENTINEL_PASSWORD: sentinel {at}: ",
    ),
    "a right at the sentinels": (
        {"X_REDIS_SENTINEL_USER": "blind"},
        "X_REDIS_SENTINEL_USER: sentinel {at}: its user lacks a right: ",
    ),
    "the name": (
        {"X_REDIS_URL": "rediss://loyalty@mymaster/0"},
        "X_REDIS_URL: sentinel {at} knows no primary 'mymaster': it knows plain, points",
    ),
    "the authority": (
        {"X_REDIS_CA_FILE": "{folder}/other/ca.crt"},
        "X_REDIS_CA_FILE: sentinel {at}: the server's certificate is not trusted",
    ),
    "the sentinel's host": (
        {"X_REDIS_SENTINELS": "localhost:{to_sentinel.port}"},
        "X_REDIS_SENTINELS: sentinel localhost:{to_sentinel.port}: the server's certificate is ano",
    ),
    "no sentinel": (
        {
            "X_REDIS_URL": "redis://loyalty@plain/0",
            "X_REDIS_SENTINELS": f"{HOST}:{{redis}}",
            "X_REDIS_SENTINEL_USER": "admin",
            "X_REDIS_SENTINEL_PASSWORD_FILE": "",
            "X_REDIS_SENTINEL_PASSWORD": PASSWORDS["admin"],
        },
        f"X_REDIS_SENTINELS: sentinel {HOST}:{{redis}}: it is no sentinel: ",
    ),
    "the primary's password": (
        {"X_REDIS_PASSWORD_FILE": "", "X_REDIS_PASSWORD": "wrong-one"},
        "X_REDIS_PASSWORD: ",
    ),
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_setting_ends_the_start_with_2_and_one_line_that_names_it(
    watched: Watched, what: str
) -> None:
    Authority.at(watched.folder / "other")
    changes, says = WRONG[what]
    with pytest.raises(CannotStartError) as ended:
        await watched.database(**changes).check()
    line, at = str(ended.value), f"{HOST}:{watched.to_sentinel.port}"
    assert line.startswith(f"Redis refuses us: {says.format(at=at, **vars(watched))}")
    assert (ended.value.code, line.count("\n")) == (2, 0)
    assert "hidden" not in line
    assert "wrong-one" not in line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"X_REDIS_SENTINELS": f"{HOST}:{{sentinel}}"}, "no sentinel answers: .*"),
        ({"X_REDIS_URL": "rediss://loyalty@plain/0"}, ""),
    ],
)
async def test_a_server_that_keeps_silent_about_tls_is_away_and_that_is_reported(
    watched: Watched, changes: dict[str, str], says: str
) -> None:
    async with watched.database(**changes).client(socket_connect_timeout=1) as redis:
        with pytest.raises(LostConnectionError, match=f"{says}no connection with TLS in time"):
            await redis.ping()


async def test_sentinels_that_are_away_are_no_wrong_setting(watched: Watched) -> None:
    await watched.database(X_REDIS_SENTINELS=f"{HOST}:1, {HOST}:2").check()


def is_ready(node: Node) -> Any:
    async def asked() -> bool:
        return not await node.conditions()

    return asked


async def test_a_changed_password_of_the_sentinels_is_followed_without_a_restart(
    node: Node, watched: Watched
) -> None:
    async def set_password(text: str) -> None:
        async with watched.asked() as sentinel:
            await sentinel.execute_command("ACL", "SETUSER", "watcher", "resetpass", f">{text}")

    async def heal() -> None:
        (watched.folder / "sentinel").write_text("another-password\n")

    await set_password("another-password")
    watched.cut()
    try:
        await denied_and_then_healed(node, "X_REDIS_SENTINEL_PASSWORD_FILE: sentinel ", heal)
    finally:
        await set_password("watcher-hidden")


async def test_a_name_that_the_sentinels_forgot_is_named_until_they_know_it_again(
    node: Node, watched: Watched
) -> None:
    async def heal() -> None:
        await watched.monitor("points", watched.to_redis.port)

    await watched.forget("points")
    watched.to_redis.cut()
    says = f"X_REDIS_URL: sentinel {HOST}:{watched.to_sentinel.port} knows no primary 'points'"
    await denied_and_then_healed(node, says, heal)


async def test_a_changed_password_of_the_primary_is_followed_without_a_restart(
    node: Node, watched: Watched
) -> None:
    async def heal() -> None:
        (watched.folder / "password").write_text("another-password\n")

    async with as_user(watched.redis, "admin") as admin:
        await set_user(admin, "resetpass", ">another-password")
        watched.cut()
        try:
            await denied_and_then_healed(node, "X_REDIS_PASSWORD_FILE: ", heal)
        finally:
            await set_user(admin, "resetpass", f">{PASSWORDS['loyalty']}")


async def test_sentinels_that_are_all_away_are_named_and_asked_again_when_they_are_back(
    node: Node, watched: Watched
) -> None:
    watched.to_sentinel.target = 1
    watched.cut()

    async def says() -> bool:
        found = {c.reason: c.detail for c in await node.conditions()}
        return "no sentinel answers: " in found.get("store_away", "")

    message = a_shipment()
    await until_async(says, 30, "what is away")
    with pytest.raises(ChassisError, match=f"no sentinel answers: {HOST}:"):
        await handled(node, message)
    watched.to_sentinel.target = watched.sentinel
    await until_async(is_ready(node), 30, "the process is ready again")
    assert isinstance(await handled(node, message), Decided)


async def test_a_password_that_can_not_be_read_is_no_login_without_one(
    node: Node, watched: Watched
) -> None:
    (watched.folder / "sentinel").unlink()
    watched.cut()

    async def heal() -> None:
        (watched.folder / "sentinel").write_text("watcher-hidden")

    says = "X_REDIS_SENTINEL_PASSWORD_FILE can't be read: "
    await denied_and_then_healed(node, says, heal)
