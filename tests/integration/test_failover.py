"""A primary dies, its standby is promoted: a store whose URL names both goes on, with nothing restarted."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from chassis.errors import TransientError
from chassis.message import Decided
from chassis.postgres import PostgresDatabase, migrations
from chassis.postgres.inspection import PostgresInspection
from chassis.postgres.store import PostgresStore
from guarantees.declared import migrations_of
from saga_cli.stack import ports, postgres, servers
from saga_cli.stack.processes import ChildProcess
from shipping_svc.service import SERVICE
from shipping_svc.store import SHIPMENTS
from tests.integration.chassis_fixtures import message_of_capture
from tests.support.opened import Opened
from tests.support.records import an_order
from tests.support.waiting import until, until_async


@dataclass(frozen=True)
class Pair:
    """A primary, and a standby that follows it."""

    primary: ChildProcess
    ports: tuple[int, int]
    password: str

    @property
    def url(self) -> str:
        """The standby is named first: the one that takes writes has to be found."""
        primary, standby = self.ports
        hosts = f"127.0.0.1:{standby},127.0.0.1:{primary}"
        return f"postgresql://saga:{self.password}@{hosts}/postgres"

    def asked(self, which: int, query: str) -> Any:
        async def ask() -> Any:
            connection = await asyncpg.connect(self.url, host="127.0.0.1", port=self.ports[which])
            try:
                return await connection.fetchval(query)
            finally:
                await connection.close()

        return asyncio.run(ask())

    def has_caught_up(self) -> bool:
        written = self.asked(0, "SELECT pg_current_wal_lsn()::text")
        there = f"SELECT coalesce(pg_last_wal_replay_lsn() >= '{written}', false)"
        return bool(self.asked(1, there))

    def fail_over(self) -> None:
        until(self.has_caught_up, 20, "the standby has what was committed")
        self.primary.kill()
        assert self.asked(1, "SELECT pg_promote()")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as held:
        folders, numbers = [], []
        for _ in range(2):
            folders.append(held.enter_context(servers.private_folder()))
            port = ports.hold()
            held.callback(port.release)
            numbers.append(port.number)
        password = postgres.admin_password(folders[0])
        first = postgres.prepare(folders[0], numbers[0])
        _copy(folders, f"host=127.0.0.1 port={numbers[0]} user=saga password={password}")
        for process in (first, postgres.prepare(folders[1], numbers[1])):
            process.start()
            held.callback(process.kill)
            until(partial(_answers, process), 30, "a server")
        yield Pair(first, (numbers[0], numbers[1]), password)


def _answers(process: ChildProcess) -> bool:
    return b"ready to accept" in process.log.read_bytes()


def _copy(folders: list[Path], primary: str) -> None:
    """A standby of a primary that has not been started yet: its files, and where to follow it."""
    data, copy = (folder / "postgres" for folder in folders)
    shutil.copytree(data, copy)
    (copy / "standby.signal").touch()
    with (copy / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"primary_conninfo = '{primary}'\n")
    owner = data.stat()
    for path in (copy, *copy.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


@pytest.fixture
async def store(pair: Pair) -> AsyncIterator[Opened]:
    await migrations.migrate(migrations_of("shipping"), PostgresDatabase.at(pair.url))
    made = await PostgresStore.connect(SERVICE, SHIPMENTS, None, PostgresDatabase.at(pair.url))
    yield Opened.of(SERVICE, made, PostgresInspection(made))
    await made.close()


async def test_a_store_goes_on_with_the_standby_that_was_promoted(
    pair: Pair, store: Opened
) -> None:
    first = an_order()
    assert isinstance((await store.handle([message_of_capture(first)]))[0], Decided)
    assert await store.lead()
    rows = await store.pending(10)
    await asyncio.to_thread(pair.fail_over)
    with pytest.raises(TransientError):
        await store.acknowledge([id_ for id_, _ in rows])
    await until_async(partial(_decides, store), 20, "a decision in the new primary")
    assert await store.lead()
    assert [id_ for id_, _ in rows] == [id_ for id_, row in await store.pending(10)][: len(rows)]
    await store.acknowledge([id_ for id_, _ in rows])
    assert (await store.backlog()).outbox_rows > 0


async def _decides(store: Opened) -> bool:
    return isinstance(await _outcome(store), Decided)


async def _outcome(store: Opened) -> object:
    try:
        return (await store.handle([message_of_capture(an_order())]))[0]
    except TransientError as error:
        return error
