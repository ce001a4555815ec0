"""The operators' console beside the services of a stack."""

import asyncio
import json
from importlib.util import find_spec
from typing import Final

from saga_cli.stack.postgres import make_databases
from saga_cli.stack.services import Instance, Services
from saga_cli.topology import CONSOLE, READER, SERVICES

NEEDED: Final = "jinja2"
"""What the extra `console` brings, and nothing else does."""


def is_installed() -> bool:
    return find_spec(NEEDED) is not None


def start(services: Services) -> Instance:
    """Start the console over what runs, and wait until it answers.

    Raises RuntimeError with the end of its log where it does not.
    """
    asyncio.run(make_databases(services.addresses, [CONSOLE]))
    urls = {spec.name: [each.url for each in services.of(spec.name)] for spec in SERVICES}
    more = {
        "CONSOLE_SERVICES": json.dumps(urls),
        "CONSOLE_DATABASE_OWNER_URL": services.addresses.owner_url(CONSOLE),
    }
    instance = services.start_one(CONSOLE, more, kafka_user=READER)
    services.await_ready([instance])
    return instance
