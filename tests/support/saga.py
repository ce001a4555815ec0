"""The command `saga` as a person runs it, without the cost of a process each time."""

import asyncio
import base64
import json
import os
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from chassis.auth import OPERATE
from chassis.kafka import Cluster
from chassis.message import Record
from saga_cli.main import app
from saga_cli.stack.issuer import local_issuer
from saga_cli.stack.services import Services
from saga_cli.topology import SERVICES
from tests.support.waiting import until


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def saga(*words: str, **variables: str) -> Ended:
    """Run it with these variables alone of those that are its own."""
    unset = {name: None for name in os.environ if name.startswith("SAGA_")}
    result = CliRunner().invoke(app, words, env={**unset, **variables})
    return Ended(result.exit_code, result.stdout, result.stderr)


def servers_of(services: Services) -> dict[str, str]:
    """The variables that say where these services' servers are."""
    return services.addresses.variables


def on_servers(services: Services, *words: str, **variables: str) -> Ended:
    """Run it against these services' servers."""
    return saga(*words, **{**servers_of(services), **variables})


def token_of(subject: str, scope: str = OPERATE) -> str:
    return local_issuer().token(subject, (scope,))


def operating(services: Services, *words: str, **variables: str) -> Ended:
    """Run it against these services."""
    urls = {
        f"SAGA_{spec.prefix}_URL": ",".join(i.url for i in services.of(spec.name))
        for spec in SERVICES
    }
    token = {"SAGA_OPERATOR_TOKEN": token_of("ada")}
    return saga(*words, **{**urls, **token, **variables})


def changed(record: Record, value: bytes | None = None, **headers: bytes) -> Record:
    """A good record made bad, or better."""
    named = [(name, headers.get(name, raw)) for name, raw in record.headers]
    kept = record.value if value is None else value
    return Record(record.topic, 0, 0, record.key, kept, tuple(named))


def sent(services: Services, *found: Record) -> None:
    sent_to(services.addresses.kafka, *found)


def sent_to(cluster: Cluster, *found: Record) -> None:
    async def send() -> None:
        producer = AIOKafkaProducer(**cluster.options())
        await producer.start()
        for r in found:
            await producer.send_and_wait(r.topic, r.value, r.key, headers=list(r.headers))
        await producer.stop()

    asyncio.run(send())


def parked(services: Services, service: str, key: str) -> list[dict[str, Any]]:
    def look() -> Any:
        shown = operating(services, "dead-letters", "show", service, key, "--json")
        return shown.json if shown.code == 0 else None

    found: list[dict[str, Any]] = until(look)
    return found


def first_finding(services: Services, order_id: str) -> dict[str, Any]:
    return next(iter(why(services, order_id)["findings"]), {})


def why(services: Services, order_id: str) -> dict[str, Any]:
    outcome = operating(services, "why", order_id, "--json")
    assert outcome.code == 0, outcome
    found: dict[str, Any] = outcome.json
    return found


def settles(services: Services, order_id: str) -> dict[str, Any]:
    def look() -> Any:
        found = why(services, order_id)
        return found if found["settled"] and not found["findings"] else None

    found: dict[str, Any] = until(look, 120)
    return found


def raw_of(encoded: str | None) -> bytes | None:
    return None if encoded is None else base64.b64decode(encoded)
