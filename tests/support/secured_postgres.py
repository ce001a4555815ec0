"""A PostgreSQL that takes nothing but TLS and a password, with one service's database."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from chassis.kafka import Cluster
from chassis.postgres import PostgresDatabase
from chassis.secret import Secret
from saga_cli.clients import database
from saga_cli.stack import ports, postgres, servers
from saga_cli.stack.authority import Authority
from saga_cli.stack.processes import ChildProcess
from saga_cli.topology import BY_NAME, Addresses, addresses_of
from tests.support.waiting import until, until_async

SPEC: Final = BY_NAME["shipping"]
HOST: Final = "127.0.0.1"
EXPIRED: Final = timedelta(days=-1)
VALID: Final = timedelta(days=1)


@dataclass(frozen=True)
class SecuredPostgres:
    folder: Path
    port: int
    process: ChildProcess
    authority: Authority
    password: str

    @property
    def place(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def admin_url(self) -> str:
        tls = f"sslmode=verify-full&sslrootcert={self.authority.ca_file}"
        return f"postgresql://saga:{self.password}@{self.place}/postgres?{tls}"

    @property
    def addresses(self) -> Addresses:
        return addresses_of(Cluster("none:1"), self.admin_url, "redis://none:1")

    @property
    def role_password(self) -> str:
        return self.addresses.passwords[SPEC.role]

    def given(self, folder: Path, **changes: Any) -> PostgresDatabase:
        """As a service's settings name it: the password and the authority are files of the folder."""
        secret, ca_file = folder / "password", folder / "ca.crt"
        secret.write_text(self.role_password)
        shutil.copy(self.authority.ca_file, ca_file)
        url = f"postgresql://{SPEC.role}@{self.place}/{SPEC.database}"
        fields = {
            "url": Secret(url, variable="X_DATABASE_URL"),
            "password": Secret(file=secret, variable="X_DATABASE_PASSWORD_FILE"),
            "ca_file": str(ca_file),
            "setting": "X_DATABASE",
        }
        return PostgresDatabase(**{**fields, **changes})

    async def asked(self, *queries: str, of: str = "postgres") -> Any:
        """As the administrator."""
        async with database(self.admin_url.replace("/postgres?", f"/{of}?")) as admin:
            for query in queries[:-1]:
                await admin.execute(query)
            return await admin.fetchval(queries[-1])

    async def end_sessions(self) -> None:
        """Those of the service: its next ones have to be let in anew. Returns when none is left."""
        theirs = f"FROM pg_stat_activity WHERE usename = '{SPEC.role}'"
        await self.asked(f"SELECT count(pg_terminate_backend(pid)) {theirs}")

        async def are_gone() -> bool:
            return not await self.asked(f"SELECT count(*) {theirs}")

        await until_async(are_gone, 20, "the end of the sessions")

    async def prove_with(
        self, authority: Authority, lasting: timedelta = VALID, host: str = HOST
    ) -> None:
        """The server has a certificate of this authority from now on."""
        issued = authority.issue("postgres", (host,), lasting)
        for kind, file in (("crt", issued.cert_file), ("key", issued.key_file)):
            own = self.folder / f"postgres.{kind}"
            own.write_text(file.read_text())
        self.reload()

    def reload(self) -> None:
        """Returns when it has read its files again."""
        read = self.process.log.read_text().count("reloading configuration files")
        self.process.signal(1)
        until(lambda: self.process.log.read_text().count("reloading configuration files") > read)


@contextmanager
def secured_postgres() -> Iterator[SecuredPostgres]:
    with servers.private_folder() as folder:
        authority, port = Authority.at(folder / "ca"), ports.hold()
        issued = authority.issue("postgres", (HOST,), VALID)
        tls = postgres.ServerTls(issued.cert_file, issued.key_file, authority.ca_file)
        password = postgres.admin_password(folder)
        process = postgres.prepare(folder, port.number, tls)
        process.start()
        try:
            made = SecuredPostgres(folder, port.number, process, authority, password)
            until(lambda: "ready to accept" in process.log.read_text(), 30, "a server")
            postgres.create_databases(made.addresses, [SPEC])
            yield made
        finally:
            process.kill()
            port.release()
