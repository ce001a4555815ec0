"""A database of PostgreSQL: where it is, and how a role is let in."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import asyncpg

from chassis.errors import AccessError
from chassis.postgres.types import Connection
from chassis.process.settings import DatabaseSettings
from chassis.secret import NO_SECRET, Secret, secret_of
from chassis.tls import fault_of
from chassis.urls import postgres_url, with_password

TLS: Final = {"ca_file": "sslrootcert", "cert_file": "sslcert", "key_file": "sslkey"}
"""Fields of a `PostgresDatabase`, and the parameters of a URL that say the same."""
REFUSED: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
    asyncpg.UndefinedObjectError,  # a role that is not there has no rights
)
"""A server's no to the role, its password, the database or an option of the URL."""
NO_TLS: Final = "rejected SSL upgrade"
OTHER_SESSION: Final = (
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.InvalidSQLStatementNameError,
)
"""What a session is refused that was just made: its statements are another's, or are with another."""
NO_PARAMETER: Final = "unsupported startup parameter"


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """`url` is postgresql://role:password@host:port/name?sslmode=verify-full, or several hosts.

    The password may be given apart from it, and so may the files of TLS; with an authority to trust, the
    server's certificate is checked, its host too, unless the URL says otherwise (`sslmode`). `setting`
    is what the variables begin with, such as ORDER_DATABASE. Each session is made with what the
    files hold then.
    """

    url: Secret
    password: Secret = NO_SECRET
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    setting: str = ""

    @classmethod
    def at(cls, url: str) -> Self:
        return cls(Secret(url))

    @classmethod
    def of(cls, settings: DatabaseSettings) -> Self:
        """As the service's role."""
        files = {name: str(getattr(settings, f"database_{name}") or "") for name in TLS}
        password = settings.database_password
        return cls(settings.database_url, password, **files, setting=f"{settings.prefix}_DATABASE")

    @classmethod
    def owners(cls, settings: DatabaseSettings) -> Self | None:
        """As the role that owns the tables; None where that is the service's own."""
        if settings.database_owner_url is None:
            return None
        ca_file, setting = str(settings.database_ca_file or ""), f"{settings.prefix}_DATABASE"
        password = settings.database_owner_password
        return cls(settings.database_owner_url, password, ca_file, setting=setting)

    @classmethod
    def given(cls, variables: Mapping[str, str], prefix: str, owner: str = "") -> Self | None:
        """As the variables of a service say it, or with `_OWNER` those of its owner; None if they do not.

        Raises ValueError for what is malformed or given twice.
        """
        setting = f"{prefix}_DATABASE{owner}"
        url = secret_of(variables, f"{setting}_URL")
        if not url:
            return None
        postgres_url(url.read())
        password = secret_of(variables, f"{setting}_PASSWORD")
        files = {name: variables.get(f"{prefix}_DATABASE_{name}".upper(), "") for name in TLS}
        return cls(url, password, **files, setting=setting)

    @property
    def role(self) -> str:
        """Raises AccessError where the URL names none."""
        if name := urlsplit(self.url.read()).username:
            return unquote(name)
        raise AccessError(f"{self._variable('url')}: it names no role")

    def arguments(self) -> tuple[str, dict[str, str]]:
        """URL and keyword arguments, as both asyncpg and psycopg take them.

        Raises AccessError for a file that can't be read, SecretError for one with a secret.
        """
        password = {"password": self.password.read()} if self.password else {}
        return self._url(), password

    def full_url(self) -> str:
        """With the password and all files in it, for a client that takes nothing else. Raises as above."""
        return with_password(self._url(), self.password.read())

    def _url(self) -> str:
        url = self.url.read()
        files = {TLS[name]: self._readable(name) for name in TLS if getattr(self, name)}
        if not files:
            return url
        parts = urlsplit(url)
        mode = {"sslmode": "verify-full"} if self.ca_file else {}
        query = mode | dict(parse_qsl(parts.query, keep_blank_values=True)) | files
        return parts._replace(query=urlencode(query)).geturl()

    def _readable(self, name: str) -> str:
        file: str = getattr(self, name)
        try:
            with Path(file).open("rb"):
                return file
        except OSError as error:
            raise AccessError(f"{self._variable(name)}: {file}: {error.strerror}") from error

    async def connect(self, *_dsn: object, **options: Any) -> Connection:
        """A session in which one may write; asyncpg's pools call it for each of theirs.

        Raises AccessError where the server refuses us, or is not the one that it should be.
        """
        url, password = self.arguments()
        try:
            return await asyncpg.connect(
                url,
                **{"timeout": 10, **options, **password},
                target_session_attrs="read-write",  # of several hosts, the one that takes writes
            )
        except (
            *REFUSED,
            *OTHER_SESSION,
            asyncpg.ProtocolViolationError,
            ssl.SSLError,
            ConnectionError,
        ) as error:
            if not (why := self.explained(error)):
                raise
            raise AccessError(why) from error

    def explained(self, error: Exception) -> str:
        """What a server refuses us for, with the setting to look at; "" for any other error."""
        match error:
            case asyncpg.InvalidPasswordError() if self.password:
                return f"{self.password.variable}: {error}"
            case asyncpg.InvalidAuthorizationSpecificationError() if "no encryption" in str(error):
                return f"{self._variable('url')}: the server asks for TLS (sslmode): {error}"
            case asyncpg.DuplicatePreparedStatementError() | asyncpg.InvalidSQLStatementNameError():
                return self.shares_sessions()
            case asyncpg.ProtocolViolationError() if NO_PARAMETER in str(error):
                return f"{self._variable('url')}: a pooler is in between: {_one_line(error)}"
            case ssl.SSLError():
                fault = fault_of(error)
                return f"{self._variable(fault.setting)}: {fault.why}"
            case asyncpg.PostgresError() | asyncpg.ClientConfigurationError():
                is_refusal = isinstance(error, REFUSED)
                return f"{self._variable('url')}: {_one_line(error)}" if is_refusal else ""
            case ConnectionError() if NO_TLS in str(error):
                return f"{self._variable('url')}: the server has no TLS"
            case _:
                return ""

    def shares_sessions(self) -> str:
        """Why a pooler that gives each transaction another session is no database to us."""
        return (
            f"{self._variable('url')}: a pooler gives each transaction another session (PgBouncer:"
            " pool_mode = transaction), and locks, statements and settings are of a session:"
            " give the server's own address, or pool_mode = session"
        )

    def _variable(self, name: str) -> str:
        """Of the setting that says it: a field of its own, or the URL."""
        if name != "url" and getattr(self, name):
            return f"{self.setting}_{name}".upper()
        return self.url.variable or "its URL"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
