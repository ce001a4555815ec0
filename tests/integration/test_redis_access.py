"""Redis with users and TLS: what a service's user may do, what is said of what it may not, and what heals it.

No wheel has a server with TLS: a small proxy terminates it in front of one that has none.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from chassis.errors import AccessError, CannotStartError
from chassis.kafka import Cluster
from chassis.message import Decided, Message
from chassis.process import runtime
from chassis.process.runtime import Node
from chassis.process.settings import ServiceSettings
from chassis.redis import RedisDatabase, RedisInspection, RedisStore, rebuild, rollback
from chassis.secret import Secret
from inventory_svc.availability import Availability, key_of
from loyalty_svc.service import SERVICE
from loyalty_svc.store import LAYOUT
from saga_cli.stack.authority import Authority
from shared_events.shipping import ShipmentCreated
from tests.simulation.loyalty import PublishedLog
from tests.support.records import OFFSETS, a_message, an_order
from tests.support.redis_users import PASSWORDS, redis_with_users
from tests.support.tls_proxy import TlsProxy, tls_proxy
from tests.support.waiting import until_async

HOST: Final = "127.0.0.1"
EXPIRED: Final = timedelta(days=-1)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a Redis with users, and without TLS."""
    with redis_with_users() as made:
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.at(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture
async def admin(port: int) -> AsyncIterator[Redis]:
    async with as_user(port, "admin") as opened:
        yield opened


@pytest.fixture
async def proxy(port: int, authority: Authority) -> AsyncIterator[TlsProxy]:
    async with tls_proxy(port, authority.issue("redis", (HOST,)).both) as made:
        yield made


def as_user(port: int, name: str, number: int = 0) -> Redis:
    return Redis.from_url(f"redis://{name}:{PASSWORDS[name]}@{HOST}:{port}/{number}")


def given(proxy: TlsProxy, authority: Authority, folder: Path, **changes: Any) -> RedisDatabase:
    """As loyalty's settings name it."""
    secret, ca_file = folder / "password", folder / "ca.crt"
    secret.write_text(PASSWORDS["loyalty"])
    ca_file.write_text(authority.ca_file.read_text())
    fields = {
        "url": Secret(f"rediss://loyalty@{HOST}:{proxy.port}/0", variable="X_REDIS_URL"),
        "password": Secret(file=secret, variable="X_REDIS_PASSWORD_FILE"),
        "ca_file": str(ca_file),
        "setting": "X_REDIS",
    }
    return RedisDatabase(**{**fields, **changes})


@pytest.fixture
async def node(
    proxy: TlsProxy, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Node]:
    async with node_on(given(proxy, authority, tmp_path), monkeypatch) as made:
        yield made


@asynccontextmanager
async def node_on(database: RedisDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A process of the service, as far as its Redis goes."""
    for module in (rebuild, rollback):
        monkeypatch.setattr(module, "reading", PublishedLog().reading)
    store = await RedisStore.connect(SERVICE, LAYOUT, database, Cluster("none:1"))
    await store.prepare(asyncio.Event())
    settings = ServiceSettings(kafka_bootstrap=f"{HOST}:1", http_port=0, auth="off")
    made = runtime.assemble(SERVICE, settings, store, RedisInspection(store))
    made.consumer.ready.set()
    yield made
    await store.close()


def a_shipment() -> Message:
    return a_message(ShipmentCreated(order=an_order(), shipment_id="S"), next(OFFSETS))


async def set_user(admin: Any, *rule: str) -> None:
    await admin.execute_command("ACL", "SETUSER", "loyalty", *rule)


async def handled(node: Node, message: Message | None = None) -> Any:
    (outcome,) = await node.core.handler.handle([message or a_shipment()])
    return outcome


async def why_not(node: Node) -> str:
    found = {c.reason: c.detail for c in await node.conditions() if c.blocking}
    assert set(found) <= {"store_denied", "store_away"}, found
    return found.get("store_denied", "")


async def denied_and_then_healed(node: Node, says: str, heal: Any) -> None:
    """Nothing is parked or lost meanwhile, and no process starts again."""

    async def refuses() -> bool:
        return says in await why_not(node)

    async def is_ready() -> bool:
        return not await node.conditions()

    message = a_shipment()
    await until_async(refuses, 20, says)
    for _ in range(3):
        with pytest.raises(AccessError, match=says):
            await handled(node, message)
    await heal()
    await until_async(is_ready, 20, "the process is ready again")
    assert isinstance(await handled(node, message), Decided)
    assert await node.operations.parked_keys() == []


async def test_a_service_does_its_work_over_tls_with_its_own_rights(
    node: Node, admin: Redis
) -> None:
    await admin.acl_log_reset()
    assert isinstance(await handled(node), Decided)
    await until_async(node.store.lead, 20, "the lead")
    rows = (await node.store.pending(100)).rows
    await node.store.acknowledge([id_ for id_, _ in rows])
    await node.store.rotate_partitions()
    assert [row async for some in node.store.kept() for row in some] != []
    await node.store.resign()
    assert await node.conditions() == ()
    assert await admin.acl_log() == []


REFUSED: Final = {
    "loyalty": (
        *("FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "ACL LIST", "SHUTDOWN"),
        *(
            "GET availability:TEA",
            "SET availability:TEA 1",
            "SET other 1",
            "RENAME loyalty:a loyalty:b",
        ),
        *("SUBSCRIBE all", "PUBLISH all x", "MONITOR", "CLIENT LIST", "REPLICAOF NO ONE"),
    ),
    "inventory": (
        *("FLUSHALL", "FLUSHDB", "KEYS *", "SCAN 0", "CONFIG GET *", "DEL availability:TEA"),
        *(
            "MGET loyalty:epoch",
            "SET loyalty:epoch x",
            "EVAL return(1) 0",
            "XRANGE loyalty:outbox - +",
        ),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_user_may_do_nothing_else(port: int, name: str) -> None:
    own: Any = as_user(port, name)
    async with own:
        for words in REFUSED[name]:
            with pytest.raises(NoPermissionError):
                await own.execute_command(*words.split())


async def test_a_script_reaches_no_more_than_its_user(port: int) -> None:
    async with as_user(port, "loyalty") as own:
        for script in ("redis.call('SET', 'availability:TEA', 1)", "redis.call('FLUSHALL')"):
            with pytest.raises(ResponseError, match=r"ACL failure|can't (run|access)"):
                await own.eval(script, 0)


async def test_the_cache_works_with_its_own_rights(port: int, admin: Redis) -> None:
    await admin.acl_log_reset()
    url = f"redis://inventory:{PASSWORDS['inventory']}@{HOST}:{port}/1"
    cache = RedisDatabase.at(url)
    async with cache.client(socket_timeout=2) as redis:
        absent: Any = None
        availability = Availability(absent, redis, cache)
        await redis.set(key_of("TEA"), 7)
        assert await availability.of(["TEA"]) == {"TEA": 7}
    assert await admin.acl_log() == []


def wrong_settings(proxy: TlsProxy, folder: Path) -> dict[str, tuple[dict[str, Any], str]]:
    other = Authority.at(folder / "other")
    wrong = Secret("wrong-one", variable="X_REDIS_PASSWORD")

    def url(text: str) -> Secret:
        return Secret(text, variable="X_REDIS_URL")

    at = f"{HOST}:{proxy.port}/0"
    return {
        "password": ({"password": wrong}, "X_REDIS_PASSWORD: "),
        "user": ({"url": url(f"rediss://nobody@{at}")}, "X_REDIS_PASSWORD_FILE: "),
        "no login": (
            {"url": url(f"rediss://{at}"), "password": Secret()},
            "X_REDIS_URL: ",
        ),
        "authority": (
            {"ca_file": str(other.ca_file)},
            "X_REDIS_CA_FILE: the server's certificate is not trusted",
        ),
        "host": (
            {"url": url(f"rediss://loyalty@localhost:{proxy.port}/0")},
            "X_REDIS_URL: the server's certificate is another's",
        ),
    }


@pytest.mark.parametrize("what", ["password", "user", "no login", "authority", "host"])
async def test_a_wrong_setting_ends_the_start_with_2_and_one_line_that_names_it(
    proxy: TlsProxy, authority: Authority, tmp_path: Path, what: str
) -> None:
    changes, says = wrong_settings(proxy, tmp_path)[what]
    with pytest.raises(CannotStartError) as ended:
        await given(proxy, authority, tmp_path, **changes).check()
    assert str(ended.value).startswith(f"Redis refuses us: {says}")
    assert (ended.value.code, str(ended.value).count("\n")) == (2, 0)
    assert "hidden" not in str(ended.value)
    assert "wrong-one" not in str(ended.value)


async def test_a_redis_that_is_away_is_no_wrong_setting() -> None:
    await RedisDatabase.at(f"redis://{HOST}:1").check()


async def test_a_changed_password_is_followed_without_a_restart(
    node: Node, admin: Redis, proxy: TlsProxy, tmp_path: Path
) -> None:
    await set_user(admin, "resetpass", ">another-password")
    proxy.cut()

    async def heal() -> None:
        (tmp_path / "password").write_text("another-password\n")

    try:
        await denied_and_then_healed(node, "X_REDIS_PASSWORD_FILE: ", heal)
    finally:
        old = f">{PASSWORDS['loyalty']}"
        await set_user(admin, "resetpass", old)


async def test_a_password_that_can_not_be_read_is_named_until_it_can(
    node: Node, proxy: TlsProxy, tmp_path: Path
) -> None:
    (tmp_path / "password").unlink()
    proxy.cut()

    async def heal() -> None:
        (tmp_path / "password").write_text(PASSWORDS["loyalty"])

    await denied_and_then_healed(node, "X_REDIS_PASSWORD_FILE can't be read", heal)


async def test_a_connection_is_never_used_without_the_login_that_it_was_to_have(
    admin: Any, proxy: TlsProxy, authority: Authority, tmp_path: Path
) -> None:
    await admin.execute_command("ACL", "SETUSER", "default", "on", "nopass", "+@all")
    try:
        async with given(proxy, authority, tmp_path).client(socket_timeout=30) as redis:
            (tmp_path / "password").unlink()
            for _ in range(2):
                with pytest.raises(
                    AuthenticationError, match="X_REDIS_PASSWORD_FILE can't be read"
                ):
                    await redis.ping()
    finally:
        await admin.execute_command("ACL", "SETUSER", "default", "reset", "off")


async def test_an_expired_certificate_is_named_and_a_renewed_one_taken(
    node: Node, authority: Authority, proxy: TlsProxy
) -> None:
    proxy.prove_with(authority.issue("redis", (HOST,), EXPIRED).both)
    proxy.cut()

    async def heal() -> None:
        proxy.prove_with(authority.issue("redis", (HOST,)).both)

    await denied_and_then_healed(node, "X_REDIS_URL: the server's certificate has expired", heal)


async def test_another_authority_is_followed_without_a_restart(
    node: Node, proxy: TlsProxy, tmp_path: Path
) -> None:
    other = Authority.at(tmp_path / "other")
    proxy.prove_with(other.issue("redis", (HOST,)).both)
    proxy.cut()

    async def heal() -> None:
        (tmp_path / "ca.crt").write_text(other.ca_file.read_text())

    says = "X_REDIS_CA_FILE: the server's certificate is not trusted"
    await denied_and_then_healed(node, says, heal)


async def test_a_right_that_is_taken_away_is_named_and_nothing_is_lost(
    node: Node, admin: Redis
) -> None:
    await set_user(admin, "-eval")

    async def heal() -> None:
        await set_user(admin, "+eval")

    await denied_and_then_healed(node, "X_REDIS_URL: its user lacks a right", heal)


@pytest.mark.parametrize("command", ["hset", "hincrby", "xadd"])
async def test_a_right_that_only_a_script_needs_is_met_before_its_first_write(
    node: Node, admin: Redis, command: str
) -> None:
    message = a_shipment()
    before = await admin.dbsize()
    await set_user(admin, f"-{command}")
    try:
        with pytest.raises(AccessError, match="its user lacks a right"):
            await handled(node, message)
        assert "its user lacks a right" in await why_not(node)
        assert await admin.dbsize() == before
    finally:
        await set_user(admin, f"+{command}")
    assert isinstance(await handled(node, message), Decided)
