"""A pooler between a service and its database: which is refused, and by what it is known."""

import re
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import asyncpg
import pytest

from chassis.errors import AccessError, CannotStartError
from chassis.postgres import PostgresDatabase, migrations
from chassis.postgres.pooled import NO, refuse_shared_sessions
from chassis.secret import Secret

URL: Final = Secret("postgresql://r:p@h:6432/d", variable="ORDER_DATABASE_URL")
DATABASE: Final = PostgresDatabase(URL)


@dataclass
class ServerSession:
    pid: int
    client: str = ""


@dataclass
class Pooler:
    """Hands out the session that was given back last; `pool_mode` as PgBouncer has it, "" is no pooler."""

    pool_mode: str
    free: list[ServerSession] = field(default_factory=list)
    clients: list["PoolerClient"] = field(default_factory=list)
    pids: Any = field(default_factory=lambda: count(100))

    async def connect(self) -> "PoolerClient":
        self.clients.append(PoolerClient(self))
        return self.clients[-1]

    def session(self) -> ServerSession:
        return self.free.pop() if self.free else ServerSession(next(self.pids))

    def shares_sessions(self) -> str:
        return DATABASE.shares_sessions()


@dataclass
class PoolerClient:
    pooler: Pooler
    session: ServerSession | None = None
    closed: bool = False

    def get_server_pid(self) -> int:
        if self.pooler.pool_mode:
            return 7_000_000
        self.session = self.session or self.pooler.session()
        return self.session.pid

    async def execute(self, text: str) -> None:
        if self.pooler.pool_mode == "statement" and text == "BEGIN":
            raise asyncpg.ConnectionDoesNotExistError("not allowed in statement pooling mode")
        session = self.session or self.pooler.session()
        keeps = self.pooler.pool_mode in {"", "session"} or text == "BEGIN"
        self.session = session if keeps else None
        if not keeps:
            self.pooler.free.append(session)
        if kept := re.search(r"set_config\('saga.client', '(.*)', false\)", text):
            session.client = kept[1]
        asked_pid, asked_name = (
            re.search(p, text) for p in (r"<> (\d+) THEN", r"FROM '(.*)' THEN")
        )
        if (asked_pid and int(asked_pid[1]) != session.pid) or (
            asked_name and asked_name[1] != session.client
        ):
            raise _error(NO)

    async def close(self) -> None:
        self.closed = True


def _error(state: str) -> asyncpg.PostgresError:
    error = asyncpg.PostgresError("no")
    error.sqlstate = state
    return error


async def _ask(pooler: Any) -> PoolerClient:
    client: PoolerClient = await pooler.connect()
    await refuse_shared_sessions(pooler, client)
    return client


@pytest.mark.parametrize(("pool_mode", "clients"), [("", 1), ("session", 2)])
async def test_the_server_itself_and_a_session_to_the_end_are_taken(
    pool_mode: str, clients: int
) -> None:
    """Without a pooler it costs a question, and no session more."""
    pooler = Pooler(pool_mode)
    await _ask(pooler)
    assert [client.closed for client in pooler.clients] == [False, *[True] * (clients - 1)]


@pytest.mark.parametrize("pool_mode", ["transaction", "statement"])
@pytest.mark.parametrize("idle", [0, 3])
async def test_a_session_that_others_are_given_in_between_is_refused(
    idle: int, pool_mode: str
) -> None:
    pooler = Pooler(pool_mode)
    pooler.free = [pooler.session() for _ in range(idle)]
    with pytest.raises(
        CannotStartError, match=r"^the database refuses us: ORDER_DATABASE_URL"
    ) as no:
        await _ask(pooler)
    assert no.value.code == 2
    assert "pool_mode = transaction" in str(no.value)
    assert "\n" not in str(no.value)
    assert pooler.clients[1].closed


async def test_another_error_is_none_of_its_answers() -> None:
    class Away(Pooler):
        async def connect(self) -> PoolerClient:
            client = await super().connect()
            client.execute = self.fail  # type: ignore[method-assign, assignment]
            return client

        async def fail(self, _: str) -> None:
            raise _error("57P01")

    with pytest.raises(asyncpg.PostgresError, match="no"):
        await _ask(Away("transaction"))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (asyncpg.DuplicatePreparedStatementError("exists"), "pool_mode = transaction"),
        (asyncpg.InvalidSQLStatementNameError("is not there"), "pool_mode = transaction"),
        (asyncpg.ProtocolViolationError("unsupported startup parameter: jit"), "a pooler is in"),
    ],
)
async def test_what_a_pooler_refuses_a_new_session_is_one_line_that_names_the_setting(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(asyncpg, "connect", connect)
    with pytest.raises(AccessError, match=r"^ORDER_DATABASE_URL: a pooler ") as no:
        await DATABASE.connect()
    assert says in str(no.value)
    with pytest.raises(CannotStartError) as ended:
        async with migrations.starting(DATABASE):
            await DATABASE.connect()
    assert ended.value.code == 2
