"""compose.brokers.yaml and compose.monitoring.yaml, laid over compose.yaml: made from the manifests."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import yaml

from saga_cli.topology import PROCESSES, SERVICES
from tests.compose_page import COMPOSE, ROOT

BROKERS: Final = ("kafka", "kafka-2", "kafka-3")
HOST_PORT: Final = 29092
"""Of the first broker on this machine; the others have the next ones."""
MADE_BY: Final = "# Made by `python -m tests.docs_pages`: do not edit.\n"
THREE_BROKERS: Final = """\
# The system of compose.yaml on three brokers, of which two have a record before it is acknowledged:
#   docker compose -f compose.yaml -f compose.brokers.yaml up --build --detach
# It goes over the plain system alone; secured, three brokers are what `saga k8s render` makes.
"""
MONITORED: Final = """\
# Prometheus with the rules of deploy/monitoring, Grafana with its dashboard, and a viewer of traces:
#   docker compose -f compose.yaml -f compose.monitoring.yaml up --build --detach
# or over the secured system, with -f compose.secure.yaml in between.
# http://127.0.0.1:9090, http://127.0.0.1:3000, http://127.0.0.1:16686: on loopback only, and without a login.
"""
CONFINED: Final[Mapping[str, Any]] = {
    "restart": "unless-stopped",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
    "tmpfs": ["/tmp"],  # noqa: S108 - the container's own, in memory
}


def brokers_file() -> str:
    plain = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]["kafka"]
    bootstrap = ",".join(f"{name}:9092" for name in BROKERS)
    services: dict[str, Any] = {
        spec.name: {"environment": {f"{spec.prefix}_KAFKA_BOOTSTRAP": bootstrap}}
        for spec in PROCESSES
    }
    services["kafka"] = {"environment": _broker(plain["environment"], 1)}
    for number, name in list(enumerate(BROKERS, 1))[1:]:
        port = HOST_PORT + number - 1
        services[name] = {
            **deepcopy(plain),
            "environment": _broker(plain["environment"], number),
            "ports": [f"127.0.0.1:{port}:{port}"],
            "volumes": [f"{name}:/var/lib/kafka/data"],
        }
    volumes = dict.fromkeys(BROKERS[1:])
    name = "choreographed-checkout-brokers"  # with data of its own: those of one broker are of another quorum
    return _written(THREE_BROKERS, {"name": name, "services": services, "volumes": volumes})


def _broker(plain: Mapping[str, str], number: int) -> dict[str, str]:
    """All that differs from the one broker."""
    name, port = BROKERS[number - 1], HOST_PORT + number - 1
    voters = ",".join(f"{n}@{host}:9093" for n, host in enumerate(BROKERS, 1))
    copies = str(len(BROKERS))
    own = {
        "KAFKA_NODE_ID": str(number),
        "KAFKA_CONTROLLER_QUORUM_VOTERS": voters,
        "KAFKA_LISTENERS": f"PLAINTEXT://:9092,CONTROLLER://:9093,HOST://:{port}",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{name}:9092,HOST://127.0.0.1:{port}",
        "KAFKA_DEFAULT_REPLICATION_FACTOR": copies,
        "KAFKA_MIN_INSYNC_REPLICAS": "2",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": copies,
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": copies,
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "2",
    }
    return own if number == 1 else {**plain, **own}


def monitoring_file() -> str:
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://traces:4318"}
    services: dict[str, Any] = {spec.name: {"environment": dict(traced)} for spec in SERVICES}
    folder = "./deploy/monitoring"
    services["prometheus"] = _server(
        "prom/prometheus:v3.5.0",
        9090,
        [
            f"{folder}/prometheus.compose.yaml:/etc/prometheus/prometheus.yml:ro",
            f"{folder}/rules.yaml:/etc/prometheus/rules.yaml:ro",
            "prometheus:/prometheus",
        ],
    )
    services["grafana"] = _server(
        "grafana/grafana:12.1.0",
        3000,
        [
            f"{folder}/grafana/datasources.yaml:/etc/grafana/provisioning/datasources/own.yaml:ro",
            f"{folder}/grafana/dashboards.yaml:/etc/grafana/provisioning/dashboards/own.yaml:ro",
            f"{folder}/dashboard.json:/var/lib/dashboards/checkout.json:ro",
            "grafana:/var/lib/grafana",
        ],
        {"GF_AUTH_ANONYMOUS_ENABLED": "true", "GF_AUTH_DISABLE_LOGIN_FORM": "true"},
    )
    services["traces"] = _server("jaegertracing/jaeger:2.9.0", 16686, [])
    return _written(
        MONITORED, {"services": services, "volumes": {"prometheus": None, "grafana": None}}
    )


def _server(
    image: str, port: int, volumes: list[str], variables: dict[str, str] | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "image": image,
        **deepcopy(dict(CONFINED)),
        "ports": [f"127.0.0.1:{port}:{port}"],
    }
    return made | {name: v for name, v in (("volumes", volumes), ("environment", variables)) if v}


def scraping_file() -> str:
    """deploy/monitoring/prometheus.compose.yaml: the services as they are found within."""
    targets = [f"{spec.name}:{spec.port}" for spec in SERVICES]
    every = {"scrape_interval": "5s", "evaluation_interval": "5s"}
    job = {"job_name": "checkout", "static_configs": [{"targets": targets}]}
    made = {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [job]}
    return _written("", made)


def _written(head: str, made: Mapping[str, Any]) -> str:
    return MADE_BY + head + yaml.safe_dump(dict(made), sort_keys=False, width=110)


OVERLAYS: Final[Mapping[Path, Callable[[], str]]] = {
    ROOT / "compose.brokers.yaml": brokers_file,
    ROOT / "compose.monitoring.yaml": monitoring_file,
    ROOT / "deploy" / "monitoring" / "prometheus.compose.yaml": scraping_file,
}
