"""A real PgBouncer before PostgreSQL, where its program is installed: which of its modes carry a service."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from urllib.parse import urlsplit

import psycopg
import pytest

from chassis.errors import CannotStartError
from chassis.message import Decided
from chassis.postgres import PostgresDatabase, PostgresInspection, PostgresStore, migrations
from saga_cli.stack import ports, servers
from saga_cli.stack.processes import ChildProcess
from saga_cli.topology import BY_NAME, Addresses
from shipping_svc.service import SERVICE
from shipping_svc.store import SHIPMENTS
from tests.chassis.test_start import migrations_of
from tests.integration.chassis_fixtures import message_of_capture
from tests.support.opened import Opened
from tests.support.records import an_order
from tests.support.waiting import until

PROGRAM = shutil.which("pgbouncer")
UNPRIVILEGED = "nobody"
SETTINGS = """
[databases]
{database} = host={host} port={port} dbname={database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = {pool_mode}
"""
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer to start")


@pytest.fixture
def pooled(addresses: Addresses) -> Iterator[Callable[[str], PostgresDatabase]]:
    """Shipping's database behind a PgBouncer of a pool mode."""
    url = urlsplit(addresses.database_url(BY_NAME["shipping"]))
    with ExitStack() as held:

        def start(pool_mode: str) -> PostgresDatabase:
            folder, port = held.enter_context(servers.private_folder()), ports.hold()
            held.callback(port.release)
            (folder / "users").write_text(f'"{url.username}" "{url.password}"\n')
            (folder / "ini").write_text(
                SETTINGS.format(
                    database=url.path.strip("/"),
                    host=url.hostname,
                    port=url.port,
                    listen=port.number,
                    folder=folder,
                    pool_mode=pool_mode,
                )
            )
            privileged = os.geteuid() == 0  # it refuses to run as root
            for path in (folder, *folder.iterdir()) if privileged else ():
                shutil.chown(path, UNPRIVILEGED)
            words = ["-u", UNPRIVILEGED] if privileged else []
            command = [str(PROGRAM), *words, str(folder / "ini")]
            process = ChildProcess("pgbouncer", command, folder / "log")
            process.start()
            held.callback(process.kill)
            there = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{port.number}")
            until(partial(_answers, there.geturl()), 30, "a pooler")
            return PostgresDatabase.at(there.geturl())

        yield start


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize("pool_mode", ["transaction", "statement"])
async def test_a_pooler_that_shares_sessions_is_refused_at_every_start(
    pooled: Callable[[str], PostgresDatabase], pool_mode: str
) -> None:
    database = pooled(pool_mode)
    for _ in range(3):  # whatever earlier ones have left in the sessions that it keeps
        with pytest.raises(CannotStartError, match="a pooler gives each transaction") as refused:
            await migrations.migrate(migrations_of("shipping"), database)
        assert refused.value.code == 2
        with pytest.raises(CannotStartError, match="a pooler gives each transaction"):
            await PostgresStore.connect(SERVICE, SHIPMENTS, None, database)


async def test_one_that_gives_a_client_one_session_carries_a_service(
    addresses: Addresses, pooled: Callable[[str], PostgresDatabase]
) -> None:
    owner = PostgresDatabase.at(addresses.owner_url(BY_NAME["shipping"]))
    database = pooled("session")
    await migrations.migrate(migrations_of("shipping"), database, owner)
    made = await PostgresStore.connect(SERVICE, SHIPMENTS, None, database)
    store = Opened.of(SERVICE, made, PostgresInspection(made))
    try:
        (outcome,) = await store.handle([message_of_capture(an_order())])
        assert isinstance(outcome, Decided)
        assert await store.lead()
        async with made.reading() as connection:
            assert await connection.fetchval("SHOW enable_seqscan") == "off"
    finally:
        await made.close()
