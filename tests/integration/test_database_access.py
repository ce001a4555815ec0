"""PostgreSQL with TLS and scram-sha-256 only: who is let in, what is said to others, and what heals it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from chassis.errors import AccessError, CannotStartError, TransientError
from chassis.message import Decided, Message
from chassis.postgres import PostgresDatabase, PostgresInspection, PostgresStore, migrations
from chassis.process import runtime
from chassis.process.runtime import Node
from chassis.process.settings import ServiceSettings
from chassis.secret import Secret
from chassis.service import Provider
from guarantees.declared import migrations_of, tables_of
from saga_cli.clients import database
from saga_cli.stack.authority import Authority
from shipping_svc.service import SERVICE
from tests.integration.chassis_fixtures import message_of_capture
from tests.support.records import an_order
from tests.support.secured_postgres import EXPIRED, HOST, SPEC, SecuredPostgres, secured_postgres
from tests.support.waiting import until_async

SSL: Final = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def server() -> Iterator[SecuredPostgres]:
    with secured_postgres() as made:
        yield made


@asynccontextmanager
async def a_node(given: PostgresDatabase) -> AsyncIterator[Node]:
    """A process of the service, as far as its database goes."""
    store = await PostgresStore.connect(SERVICE, *tables_of(SPEC.name), given)
    settings = ServiceSettings(kafka_bootstrap="127.0.0.1:1", http_port=0, auth="off")
    node = runtime.assemble(SERVICE, settings, store, PostgresInspection(store), Provider("c", {}))
    node.consumer.ready.set()
    try:
        yield node
    finally:
        await store.close()


@pytest.fixture
async def node(server: SecuredPostgres, tmp_path: Path) -> AsyncIterator[Node]:
    async with a_node(server.given(tmp_path)) as made:
        yield made


async def handled(node: Node, message: Message) -> Any:
    (outcome,) = await node.core.handler.handle([message])
    return outcome


async def why_not(node: Node) -> str:
    """What readiness says of the store; "" while it takes all."""
    found = {c.reason: c.detail for c in await node.conditions() if c.blocking}
    assert set(found) <= {"store_denied"}, found
    return found.get("store_denied", "")


async def denied_and_then_healed(node: Node, server: SecuredPostgres, says: str, heal: Any) -> None:
    """Nothing is parked or lost meanwhile, and no process starts again."""
    message = message_of_capture(an_order())
    await server.end_sessions()
    await until_async(lambda: _refuses(node, says), 20, says)
    for _ in range(3):
        with pytest.raises(TransientError, match=says):
            await handled(node, message)
    await heal()
    await until_async(lambda: _is_ready(node), 20, "the process is ready again")
    assert isinstance(await handled(node, message), Decided)
    assert await node.operations.parked_keys() == []


async def _refuses(node: Node, says: str) -> bool:
    return says in await why_not(node)


async def _is_ready(node: Node) -> bool:
    return not await why_not(node)


async def test_the_service_speaks_tls_with_a_server_that_it_knows(node: Node) -> None:
    async with node.store.reading() as connection:  # type: ignore[attr-defined]  # PostgreSQL's
        assert await connection.fetchval(SSL)
    assert isinstance(await handled(node, message_of_capture(an_order())), Decided)
    assert await why_not(node) == ""


def url_of(
    server: SecuredPostgres, place: str = "", role: str = SPEC.role, more: str = ""
) -> Secret:
    url = f"postgresql://{role}@{place or server.place}/{SPEC.database}{more}"
    return Secret(url, variable="X_DATABASE_URL")


def wrong_settings(server: SecuredPostgres, folder: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """What is changed in good settings, and what is said of it."""
    other, third = Authority.at(folder / "other"), folder / "third"
    third.write_text("no certificate")
    mine = server.authority.issue(SPEC.role, (HOST,))
    wrong = Secret("wrong-one", variable="X_DATABASE_PASSWORD")
    elsewhere = url_of(server, f"localhost:{server.port}")
    return {
        "password": ({"password": wrong}, "X_DATABASE_PASSWORD: password authentication failed"),
        "role": ({"url": url_of(server, role="nobody")}, "X_DATABASE_URL: no pg_hba.conf entry"),
        "no TLS": (
            {"url": url_of(server, more="?sslmode=disable"), "ca_file": ""},
            "X_DATABASE_URL: the server asks for TLS",
        ),
        "authority": (
            {"ca_file": str(other.ca_file)},
            "X_DATABASE_CA_FILE: the server's certificate is not trusted",
        ),
        "host": ({"url": elsewhere}, "X_DATABASE_URL: the server's certificate is another's"),
        "file": (
            {"ca_file": str(folder / "none")},
            f"X_DATABASE_CA_FILE: {folder / 'none'}: No such file or directory",
        ),
        "no PEM": ({"ca_file": str(third)}, "X_DATABASE_CA_FILE: no certificate or crl found"),
        "another's key": (
            {"cert_file": str(mine.cert_file), "key_file": str(other.issue("x").key_file)},
            "X_DATABASE_KEY_FILE: key values mismatch",
        ),
    }


WRONG: Final = (
    *("password", "role", "no TLS", "authority", "host", "file", "no PEM", "another's key"),
)


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_setting_ends_the_start_with_2_and_one_line_that_names_it(
    server: SecuredPostgres, tmp_path: Path, what: str
) -> None:
    changes, says = wrong_settings(server, tmp_path)[what]
    given = server.given(tmp_path, **changes)
    for start in (
        migrations.migrate(migrations_of(SPEC.name), given),
        PostgresStore.connect(SERVICE, *tables_of(SPEC.name), given),
    ):
        with pytest.raises(CannotStartError) as ended:
            await start
        assert str(ended.value).startswith(f"the database refuses us: {says}")
        assert (ended.value.code, str(ended.value).count("\n")) == (2, 0)
        assert not [
            text for text in ("wrong-one", server.role_password) if text in str(ended.value)
        ]


async def test_a_changed_password_is_followed_without_a_restart(
    server: SecuredPostgres, tmp_path: Path, node: Node
) -> None:
    new = "another-password"
    await server.asked(f"ALTER ROLE {SPEC.role} PASSWORD '{new}'", "SELECT 1")

    async def heal() -> None:
        (tmp_path / "password").write_text(f"{new}\n")

    try:
        says = "X_DATABASE_PASSWORD_FILE: password authentication failed"
        await denied_and_then_healed(node, server, says, heal)
    finally:
        await server.asked(f"ALTER ROLE {SPEC.role} PASSWORD '{server.role_password}'", "SELECT 1")


async def test_a_password_file_that_is_gone_is_named_and_waited_for(
    server: SecuredPostgres, tmp_path: Path, node: Node
) -> None:
    (tmp_path / "password").rename(tmp_path / "elsewhere")

    async def heal() -> None:
        (tmp_path / "elsewhere").rename(tmp_path / "password")

    await denied_and_then_healed(node, server, "X_DATABASE_PASSWORD_FILE can't be read", heal)


async def test_an_expired_certificate_is_named_and_a_renewed_one_taken(
    server: SecuredPostgres, node: Node
) -> None:
    await server.prove_with(server.authority, EXPIRED)

    async def heal() -> None:
        await server.prove_with(server.authority)

    says = "X_DATABASE_URL: the server's certificate has expired"
    await _healed_from_outside(node, server, says, heal)


async def test_another_authority_is_followed_without_a_restart(
    server: SecuredPostgres, tmp_path: Path, node: Node
) -> None:
    other = Authority.at(tmp_path / "other")
    await server.prove_with(other)

    async def heal() -> None:
        (tmp_path / "ca.crt").write_text(other.ca_file.read_text())

    try:
        says = "X_DATABASE_CA_FILE: the server's certificate is not trusted"
        await _healed_from_outside(node, server, says, heal)
    finally:
        await server.prove_with(server.authority)


async def _healed_from_outside(node: Node, server: SecuredPostgres, says: str, heal: Any) -> None:
    """The administrator can't trust the server either: the process ends its own sessions."""
    message = message_of_capture(an_order())
    for pool in node.store.pools:  # type: ignore[attr-defined]  # PostgreSQL's
        await pool.expire_connections()
    await until_async(lambda: _refuses(node, says), 20, says)
    with pytest.raises(TransientError, match=says):
        await handled(node, message)
    await heal()
    await until_async(lambda: _is_ready(node), 20, "the process is ready again")
    assert isinstance(await handled(node, message), Decided)


async def test_a_client_certificate_takes_the_place_of_a_password(
    server: SecuredPostgres, tmp_path: Path
) -> None:
    rules = server.folder / "pg_hba.conf"
    before = rules.read_text()
    mine = server.authority.issue(SPEC.role, (HOST,))
    files = {"cert_file": str(mine.cert_file), "key_file": str(mine.key_file)}
    bare = {"password": Secret()}
    try:
        rules.write_text(f"hostssl {SPEC.database} {SPEC.role} {HOST}/32 cert\n{before}")
        server.reload()
        async with a_node(server.given(tmp_path, **files, **bare)) as node:
            assert isinstance(await handled(node, message_of_capture(an_order())), Decided)
        with pytest.raises(AccessError, match="X_DATABASE_URL: connection requires a valid client"):
            await server.given(tmp_path, **bare).connect()
        server.authority.issue(SPEC.role, (HOST,), EXPIRED)
        with pytest.raises((AccessError, OSError, asyncpg.PostgresError)):
            await server.given(tmp_path, **files, **bare).connect()
    finally:
        rules.write_text(before)
        server.reload()


async def test_a_right_that_is_taken_away_is_named_and_nothing_is_lost(
    server: SecuredPostgres, node: Node
) -> None:
    message = message_of_capture(an_order())
    revoke, grant = "REVOKE INSERT ON inbox FROM", "GRANT INSERT ON inbox TO"
    assert isinstance(await handled(node, message_of_capture(an_order())), Decided)
    await server.asked(f"{revoke} {SPEC.role}", "SELECT 1", of=SPEC.database)
    for _ in range(2):
        with pytest.raises(AccessError, match="X_DATABASE_URL: permission denied for table inbox"):
            await handled(node, message)
        assert "permission denied for table inbox" in await why_not(node)
    await server.asked(f"{grant} {SPEC.role}", "SELECT 1", of=SPEC.database)
    assert await why_not(node) == ""
    assert isinstance(await handled(node, message), Decided)
    assert await node.operations.parked_keys() == []


async def test_no_role_reaches_another_database_even_with_the_right_to_connect(
    server: SecuredPostgres, tmp_path: Path
) -> None:
    grant = f"GRANT CONNECT ON DATABASE payment_db TO {SPEC.role}"
    await server.asked("CREATE DATABASE payment_db", grant, "SELECT 1")
    for name in ("payment_db", "postgres", "template1"):
        url = Secret(f"postgresql://{SPEC.role}@{server.place}/{name}", variable="X_DATABASE_URL")
        with pytest.raises(AccessError, match=r"no pg_hba\.conf entry"):
            await server.given(tmp_path, url=url).connect()


async def test_a_schema_that_has_to_be_changed_is_the_owners_to_change(
    server: SecuredPostgres, tmp_path: Path
) -> None:
    """Without the owner's password the start says what to do; with it, the runtime role gets its rights."""
    own = server.given(tmp_path)
    owners = PostgresDatabase.at(server.addresses.owner_url(SPEC))
    folder = migrations_of(SPEC.name)
    for name in ("make", "drop"):
        drop = f"DROP FUNCTION {name}_published_partition"
        await server.asked(drop, "SELECT 1", of=SPEC.database)
    later = "ALTER TABLE delivery_details DROP COLUMN postal_code, DROP COLUMN customer_id"
    await server.asked(later, "SELECT 1", of=SPEC.database)
    down = "UPDATE alembic_version SET version_num = '0007'"  # before there were these functions
    await server.asked(down, "SELECT 1", of=SPEC.database)
    with pytest.raises(
        CannotStartError, match="X_DATABASE_OWNER_URL: the schema has to be"
    ) as ended:
        await migrations.migrate(folder, own)
    assert ended.value.code == 2
    await migrations.migrate(folder, own, owners)
    async with database(own.full_url()) as connection:
        today = await connection.fetchval("SELECT current_date - 3")
        await connection.execute("SELECT make_published_partition($1)", today)
        await connection.execute("SELECT drop_published_partition($1)", today)
