"""Where a command finds Kafka and the services' own stores: the stack of this folder, or the environment."""

import os
from dataclasses import dataclass

from saga_cli import state
from saga_cli.stack.provision import GIVEN
from saga_cli.terminal import fail
from saga_cli.topology import BY_NAME, Addresses, addresses_of


@dataclass(frozen=True, slots=True)
class Places:
    """`addresses` is None where only the services' own variables are given."""

    kafka_bootstrap: str
    addresses: Addresses | None = None

    def store_of(self, service: str) -> str:
        """The URL of a service's database, or of its Redis: <SERVICE>_DATABASE_URL or _REDIS_URL.

        Without one, and without a stack, the command ends with 2.
        """
        spec = BY_NAME[service]
        variable = f"{spec.prefix}_{'DATABASE' if spec.has_database else 'REDIS'}_URL"
        if given := os.environ.get(variable):
            return given
        if self.addresses is None:
            fail(f"no stack runs in this folder: give {variable}")
        if spec.has_database:
            return self.addresses.database_url(spec)
        return f"{self.addresses.redis_url}/{spec.redis_database}"


def found() -> Places:
    """SAGA_KAFKA_BOOTSTRAP, SAGA_POSTGRES_URL and SAGA_REDIS_URL, or the running stack's.

    Kafka's alone is enough for what reads only the log. Without any, the command ends with 2.
    """
    given = [os.environ.get(name, "") for name in GIVEN]
    if all(given):
        return Places(given[0], addresses_of(*given))
    if given[0]:
        return Places(given[0])
    stack = state.found()
    if stack is None or not stack.servers:
        fail(f"no stack runs in this folder: start one with `saga up`, or give {GIVEN[0]}")
    addresses = addresses_of(*stack.servers)
    return Places(addresses.kafka_bootstrap, addresses)
