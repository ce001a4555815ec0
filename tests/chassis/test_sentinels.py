"""Whom sentinels name, in what order they are asked, and what is reported where they name nobody."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from redis.asyncio import Connection
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import TimeoutError as LateError

from chassis.errors import SecretError
from chassis.redis.connections import Login, TlsConnection, WatchedTlsConnection
from chassis.redis.database import RedisDatabase
from chassis.redis.sentinels import NoPrimaryError, SentinelClient, SentinelClients
from saga_cli.stack.authority import Authority

AT: Final = ("10.0.0.1", 6379)
GIVEN: Final = {
    "X_REDIS_URL": "redis://loyalty@points/3",
    "X_REDIS_PASSWORD": "hidden",
    "X_REDIS_SENTINELS": "s1:26379, s2:26379, s3:26379",
    "X_REDIS_SENTINEL_USER": "watcher",
    "X_REDIS_SENTINEL_PASSWORD": "hidden-too",
}


@dataclass
class OneSentinel:
    """In the place of a client: `known` are the addresses of primaries by name."""

    place: str
    known: dict[str, tuple[str, int]] = field(default_factory=dict)
    down: bool = False
    error: Exception | None = None
    asked: int = 0

    async def sentinel_masters(self) -> dict[str, Any]:
        self.asked += 1
        if self.error:
            raise self.error
        state = {"is_master": True, "is_sdown": self.down, "is_odown": False}
        return {n: {**state, "ip": ip, "port": port} for n, (ip, port) in self.known.items()}


def over(*some: Any) -> SentinelClients:
    return SentinelClients([SentinelClient(each.place, each) for each in some])


def given(**changes: str) -> RedisDatabase:
    found = RedisDatabase.given(GIVEN | changes, "X")
    assert found is not None
    return found


def away(place: str) -> OneSentinel:
    return OneSentinel(place, error=LostConnectionError("connection refused"))


def untrusted() -> Exception:
    why = ssl.SSLCertVerificationError("self-signed certificate")
    why.verify_code, why.verify_message = 18, "self-signed certificate"
    error = LostConnectionError("Error 1 connecting to s1:26379")
    error.__context__ = why
    return error


def without_tls() -> Exception:
    why = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    why.reason = "WRONG_VERSION_NUMBER"
    error = LostConnectionError("Error 1 connecting to s1:26379")
    error.__context__ = why
    return error


def unread() -> Exception:
    error = AuthenticationError("X_REDIS_SENTINEL_PASSWORD_FILE: /secret is empty")
    error.__cause__ = SecretError(str(error))
    return error


async def explained(*some: OneSentinel, **changes: str) -> tuple[str, str]:
    """The error, and what is reported of it."""
    with pytest.raises(NoPrimaryError) as none:
        await over(*some).discover_master("points")
    return str(none.value), given(**changes).explained(none.value)


async def test_the_first_that_names_a_primary_is_believed_and_is_asked_first_from_then_on() -> None:
    first, second = away("s1:26379"), OneSentinel("s2:26379", {"points": AT})
    third = OneSentinel("s3:26379", {"points": AT})
    sentinels = over(first, second, third)
    for _ in range(3):
        assert await sentinels.discover_master("points") == AT
    assert (first.asked, second.asked, third.asked) == (1, 3, 1)


async def test_one_that_has_it_as_down_is_passed_over() -> None:
    stale = OneSentinel("s1:26379", {"points": ("10.0.0.9", 6379)}, down=True)
    assert (
        await over(stale, OneSentinel("s2:26379", {"points": AT})).discover_master("points") == AT
    )


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            AuthenticationError("invalid username-password pair"),
            "X_REDIS_SENTINEL_PASSWORD: sentinel s1:26379: invalid username-password pair",
        ),
        (
            NoPermissionError("no permissions to run the 'sentinel|masters' command"),
            "X_REDIS_SENTINEL_USER: sentinel s1:26379: its user lacks a right: no permissions",
        ),
        (
            ResponseError("unknown command 'SENTINEL', with args"),
            "X_REDIS_SENTINELS: sentinel s1:26379: it is no sentinel: unknown command",
        ),
        (
            untrusted(),
            "X_REDIS_SENTINELS: sentinel s1:26379: the server's certificate is not trusted",
        ),
        (
            without_tls(),
            "X_REDIS_SENTINELS: sentinel s1:26379: the server does not answer with TLS",
        ),
        (unread(), "X_REDIS_SENTINEL_PASSWORD_FILE: /secret is empty"),
    ],
)
async def test_a_refusal_names_the_setting_and_the_sentinel_though_the_others_are_away(
    error: RedisError, says: str
) -> None:
    refusing = OneSentinel("s1:26379", error=error)
    _, line = await explained(away("s2:26379"), refusing, away("s3:26379"))
    assert line.startswith(says)
    assert "\n" not in line


async def test_the_file_of_authorities_is_named_where_there_is_one() -> None:
    refusing = OneSentinel("s1:26379", error=untrusted())
    _, line = await explained(refusing, X_REDIS_CA_FILE="/ca.crt")
    assert line.startswith("X_REDIS_CA_FILE: sentinel s1:26379: the server's certificate is not")


async def test_a_login_that_is_asked_for_and_not_given_names_the_setting_that_is_missing() -> None:
    refusing = OneSentinel("s1:26379", error=AuthenticationError("Authentication required."))
    _, line = await explained(refusing, X_REDIS_SENTINEL_PASSWORD="")
    assert line == "X_REDIS_SENTINEL_PASSWORD: sentinel s1:26379: Authentication required."


async def test_a_name_that_no_sentinel_knows_is_reported_with_those_that_it_knows() -> None:
    other = OneSentinel("s1:26379", {"mymaster": AT})
    _, line = await explained(other, away("s2:26379"))
    why = "knows no primary 'points': it knows mymaster"
    assert line == f"X_REDIS_URL: sentinel s1:26379 {why}"
    _, line = await explained(OneSentinel("s1:26379"))
    assert line.endswith("it knows none at all")


async def test_a_failover_that_is_under_way_is_no_wrong_setting_whatever_the_others_say() -> None:
    refusing = OneSentinel("s1:26379", error=AuthenticationError("wrong"))
    down = OneSentinel("s2:26379", {"points": AT}, down=True)
    why, line = await explained(refusing, down)
    assert (why, line) == ("sentinel s2:26379 has 'points' as down", "")


async def test_sentinels_that_are_all_away_are_named_each_with_its_error() -> None:
    late = OneSentinel("s2:26379", error=LateError("no answer"))
    why, line = await explained(away("s1:26379"), late)
    assert why == "no sentinel answers: s1:26379: connection refused; s2:26379: no answer"
    assert line == ""


def of_sentinels(database: RedisDatabase) -> tuple[Any, list[Any]]:
    """The pool of connections to the primary, and those to its sentinels."""
    pool: Any = database.client().connection_pool
    clients: SentinelClients = pool.sentinel_manager
    return pool, [each.redis.connection_pool for each in clients.clients]


def context_of(pool: Any, made: list[str], patch: pytest.MonkeyPatch) -> Any:
    """The context of TLS with which one of its connections is made; `made` gets its file."""

    def trusting(ca_file: str) -> ssl.SSLContext:
        made.append(ca_file)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    patch.setattr("chassis.redis.connections.trusting", trusting)
    return pool.make_connection()._connection_arguments()["ssl"]


@pytest.mark.parametrize(
    "how",
    [
        {"X_REDIS_URL": "rediss://loyalty@points/3", "X_REDIS_CA_FILE": "/ca.crt"},
        {"X_REDIS_URL": "rediss://loyalty@points/3?ssl_ca_certs=/ca.crt"},
    ],
)
def test_with_tls_the_sentinels_and_the_primary_are_asked_by_it_with_one_authority(
    how: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, sentinels = of_sentinels(given(**how))
    assert primary.connection_class is WatchedTlsConnection
    assert [pool.connection_class for pool in sentinels] == [TlsConnection] * 3
    made: list[str] = []
    for pool in (primary, *sentinels):
        context = context_of(pool, made, monkeypatch)
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert made == ["/ca.crt"] * 4
    assert (primary.service_name, primary.connection_kwargs["db"]) == ("points", 3)


def test_without_it_they_are_asked_plainly() -> None:
    primary, sentinels = of_sentinels(given())
    assert not issubclass(primary.connection_class, TlsConnection)
    assert [pool.connection_class for pool in sentinels] == [Connection] * 3


def test_an_authority_of_its_own_is_what_a_sentinels_certificate_is_held_against(
    tmp_path: Path,
) -> None:
    own = Authority.at(tmp_path / "ca")
    url, file = "rediss://loyalty@points/3", str(own.ca_file)
    _, (sentinel, *_) = of_sentinels(given(X_REDIS_URL=url, X_REDIS_CA_FILE=file))
    (known,) = sentinel.make_connection()._connection_arguments()["ssl"].get_ca_certs()
    assert int(known["serialNumber"], 16) == own.certificate.serial_number


def login_of(pool: Any) -> tuple[str, ...]:
    login = pool.connection_kwargs["credential_provider"]
    assert isinstance(login, Login)
    return login.get_credentials()


def test_sentinels_have_a_login_of_their_own_whose_file_is_read_for_each_connection(
    tmp_path: Path,
) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    by_file = {"X_REDIS_SENTINEL_PASSWORD": "", "X_REDIS_SENTINEL_PASSWORD_FILE": str(file)}
    primary, sentinels = of_sentinels(given(**by_file))
    assert login_of(primary) == ("loyalty", "hidden")
    assert {login_of(pool) for pool in sentinels} == {("watcher", "first")}
    file.write_text("second\n")
    assert {login_of(pool) for pool in sentinels} == {("watcher", "second")}
    file.unlink()
    for pool in sentinels:
        with pytest.raises(AuthenticationError) as unread:
            login_of(pool)
        assert given().explained(unread.value).startswith("X_REDIS_SENTINEL_PASSWORD_FILE can't")


def test_without_a_user_the_password_is_that_of_their_default() -> None:
    _, sentinels = of_sentinels(given(X_REDIS_SENTINEL_USER=""))
    assert {login_of(pool) for pool in sentinels} == {("hidden-too",)}


def test_sentinels_that_ask_for_no_login_are_given_none() -> None:
    changes = {"X_REDIS_SENTINEL_USER": "", "X_REDIS_SENTINEL_PASSWORD": ""}
    _, sentinels = of_sentinels(given(**changes))
    assert {pool.connection_kwargs.get("credential_provider") for pool in sentinels} == {None}


def test_a_command_that_asks_no_sentinel_takes_no_name_for_an_address() -> None:
    with pytest.raises(ValueError, match="give the address of the primary"):
        given().full_url()
    url = "redis://loyalty@h:6379/3"
    assert given(X_REDIS_URL=url).full_url() == "redis://loyalty:hidden@h:6379/3"
