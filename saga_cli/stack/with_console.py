"""The operators' console beside the services of a stack."""

import asyncio
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from chassis.postgres import PostgresDatabase, migrations
from saga_cli.stack.issuer import local_issuer
from saga_cli.stack.postgres import make_databases
from saga_cli.stack.services import Instance, Services
from saga_cli.topology import CONSOLE, SERVICES, Addresses

NEEDED: Final = (CONSOLE.module, "jinja2")
"""Packages: the last one comes with the extra `console`, and with nothing else."""


def is_installed() -> bool:
    return all(find_spec(name) for name in NEEDED)


def start(services: Services, trace_page: str = "") -> Instance:
    """Start the console over what runs, and wait until it answers; one signs in at the stack's issuer.

    `trace_page` is that of a trace in a viewer, "" without one. Raises RuntimeError with the end of
    its log where it does not answer.
    """
    make_database(services.addresses)
    urls = {spec.name: [each.url for each in services.of(spec.name)] for spec in SERVICES}
    more = {f"{CONSOLE.prefix}_SERVICES": json.dumps(urls)}
    if trace_page:
        more[f"{CONSOLE.prefix}_TRACE_URL"] = trace_page
    instance = services.start_one(CONSOLE, more, at=_client)
    services.await_ready([instance])
    return instance


def _client(url: str) -> dict[str, str]:
    """The console as a client of this process's issuer, which sends browsers back to it."""
    prefix, name = CONSOLE.prefix, CONSOLE.name
    local_issuer().sign_in.register(name, f"{url}/login/callback")
    return {f"{prefix}_OIDC_CLIENT_ID": name, f"{prefix}_PUBLIC_URL": url}


def make_database(addresses: Addresses) -> None:
    """With the newest schema, which the owner's role makes: the console's own may not."""
    asyncio.run(_make_database(addresses))


async def _make_database(addresses: Addresses) -> None:
    await make_databases(addresses, [CONSOLE])
    found = find_spec(CONSOLE.module)
    assert found is not None, "it is installed"
    assert found.origin is not None, "it is a package"
    own = PostgresDatabase.at(addresses.database_url(CONSOLE))
    owner = PostgresDatabase.at(addresses.owner_url(CONSOLE))
    await migrations.migrate(Path(found.origin).parent / "migrations", own, owner)
