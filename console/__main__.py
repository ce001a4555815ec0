"""python -m console: one process of the console; with `migrate` its migrations alone, with `rebuild` anew."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog

from chassis import build
from chassis.auth import IssuerKeys, JwtVerifier
from chassis.health import Condition, Health
from chassis.http import ACCEPTED_LATER, listen
from chassis.measuring import show_build
from chassis.postgres import PostgresDatabase, migrations
from chassis.process import runtime
from chassis.process.access import gate_of, watch_issuer
from console.queries import Queries
from console.reader import LogReader
from console.rebuilding import rebuild
from console.settings import ConsoleSettings
from console.web.app import ConsoleOptions, make_console
from console.web.oidc import OidcClient, SignIn

log = structlog.get_logger()
NAME: Final = "console"


@dataclass
class ConsoleProcess:
    """The parts of one process."""

    settings: ConsoleSettings
    reader: LogReader
    queries: Queries
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    health: Health = field(default_factory=lambda: Health(NAME))

    def __post_init__(self) -> None:
        stopping = self.stopping.is_set
        self.health.watch("not_reading", self.reader.status.failing)
        self.health.watch(
            "shutting_down", lambda: "shutting down" if stopping() else "", blocking=True
        )

    async def conditions(self) -> tuple[Condition, ...]:
        return self.health.now()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. A part that fails ends the process with exit code 1."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        gate, keys = gate_of(NAME, self.settings)
        if keys is not None:
            watch_issuer(self.health, keys)
        gate.report()
        show_build(NAME, build.of_distribution())
        sign_in = sign_in_of(self.settings, keys) if keys is not None else None
        options = ConsoleOptions(self.stopping, sign_in, self.settings.trace_url or "")
        app = make_console(self.queries, self.settings.services, gate, self.conditions, options)
        with runtime.listening(app, NAME, self.settings) as (servers, sockets):
            parts = {n: partial(s.serve_until, sockets=sockets[n]) for n, s in servers.items()}
            ports = {f"{name}_port": listen(own, ACCEPTED_LATER) for name, own in sockets.items()}
            log.info("started", **ports, pid=os.getpid())
            more = {"issuer": keys.run} if keys is not None else {}
            failed = await self._work({**parts, **more, "reader": self.reader.run})
        await app.state.console.close()
        await self.queries.close()
        log.info("stopped")
        if failed:
            raise SystemExit(1)

    async def _work(self, parts: dict[str, Callable[[asyncio.Event], Any]]) -> bool:
        """Says whether one failed."""
        tasks = [asyncio.create_task(part(self.stopping), name=n) for n, part in parts.items()]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self.stopping.set()
        return await runtime.ended(tasks, 12 + self.settings.http_drain_s)


def sign_in_of(settings: ConsoleSettings, keys: IssuerKeys) -> SignIn | None:
    """At the issuer of access tokens, whose keys these are; None where it knows no such client."""
    issuer, url = settings.auth_issuer, settings.public_url
    if not settings.oidc_client_id or issuer is None or url is None:
        return None
    client_id, secret = settings.oidc_client_id, settings.oidc_client_secret
    client = OidcClient(issuer, client_id, secret, settings.oidc_scope, url)
    skew_s = settings.auth_clock_skew_s
    return SignIn(client, JwtVerifier(issuer, client_id, keys, skew_s))


async def migrate(settings: ConsoleSettings) -> PostgresDatabase:
    return await migrations.migrated(runtime.migrations_of(__file__), settings)


async def serve(settings: ConsoleSettings) -> None:
    database = await migrate(settings)
    reader = LogReader(settings.kafka, database, timedelta(days=settings.keep_days))
    queries = await Queries.connect(database, reader.status.now)
    await ConsoleProcess(settings, reader, queries).run()


async def begin_anew(settings: ConsoleSettings) -> None:
    database = await migrate(settings)
    await rebuild(PostgresDatabase.owners(settings) or database)


TASKS: Final = {"migrate": migrate, "rebuild": begin_anew}


def main() -> None:
    runtime.start(ConsoleSettings, NAME, TASKS.get(" ".join(sys.argv[1:]), serve))


if __name__ == "__main__":
    main()
