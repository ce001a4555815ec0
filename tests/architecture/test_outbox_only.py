"""Nothing reaches Kafka but through the outbox: the relay alone makes a producer, and sends."""

import tomllib
from typing import Any

from saga_cli.topology import SERVICES
from tests.architecture.test_tidy import ROOT, TREES, imports
from tests.support.syntax import calls_of

MODULES = {spec.module for spec in SERVICES}
PRODUCT = [name for name in TREES if name.split("/")[0] in MODULES | {"chassis", "shared_events"}]
SENDS = {"send_and_wait", "send_batch", "create_batch"}


def callers(*names: str) -> set[str]:
    """Files in which something of these names is called."""
    return {name for name in PRODUCT if any(calls_of(TREES[name], *names))}


def contract(name: str) -> Any:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return next(contract for contract in contracts if contract["name"] == name)


def test_only_the_relay_makes_a_producer() -> None:
    assert callers("AIOKafkaProducer") == {"chassis/kafka/clients.py"}
    assert callers("make_producer") == {"chassis/outbox/sender.py"}


def test_only_the_relay_sends() -> None:
    assert callers(*SENDS) == {"chassis/outbox/sender.py"}


def test_the_runtime_makes_the_one_relay_of_a_process() -> None:
    assert callers("Relay") == {"chassis/process/runtime.py"}


def test_no_service_imports_a_kafka_client() -> None:
    clients = {"aiokafka", "kafka", "confluent_kafka"}
    services = {name: TREES[name] for name in PRODUCT if name.split("/")[0] in MODULES}
    reached = {
        name for name, tree in services.items() for m in imports(tree) if m.split(".")[0] in clients
    }
    assert reached == set()


def test_the_import_contract_covers_every_service() -> None:
    only_the_relay = contract("Only the relay holds a producer")
    assert set(only_the_relay["source_modules"]) == MODULES
    assert only_the_relay["forbidden_modules"] == ["aiokafka"]
