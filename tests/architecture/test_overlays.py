"""What may be laid over compose.yaml, as Compose itself merges it: three brokers, monitoring."""

import json
import os
import subprocess
from typing import Any, Final

import yaml

from saga_cli.topology import PROCESSES, SERVICES
from tests.architecture.test_tidy import ROOT
from tests.overlay_page import BROKERS

PROGRAM: Final = ROOT / ".venv" / "bin" / "docker-compose"


def merged(*overlays: str) -> dict[str, Any]:
    files = [word for name in ("compose.yaml", *overlays) for word in ("-f", name)]
    command = [str(PROGRAM), *files, "config", "--format", "json"]
    environment = {"PATH": os.environ["PATH"]}
    read = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert (read.returncode, read.stderr) == (0, "")
    found: dict[str, Any] = json.loads(read.stdout)
    return found


def test_three_brokers_are_one_quorum_and_have_two_copies_before_they_acknowledge() -> None:
    made = merged("compose.brokers.yaml")
    brokers = {name: made["services"][name] for name in BROKERS}
    variables = [broker["environment"] for broker in brokers.values()]
    assert {each["KAFKA_CONTROLLER_QUORUM_VOTERS"] for each in variables} == {
        "1@kafka:9093,2@kafka-2:9093,3@kafka-3:9093"
    }
    assert [each["KAFKA_NODE_ID"] for each in variables] == ["1", "2", "3"]
    assert {each["KAFKA_MIN_INSYNC_REPLICAS"] for each in variables} == {"2"}
    assert {each["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] for each in variables} == {"false"}
    for name, broker in brokers.items():
        assert f"PLAINTEXT://{name}:9092" in broker["environment"]["KAFKA_ADVERTISED_LISTENERS"]
        (port,) = broker["ports"]
        assert port["host_ip"] == "127.0.0.1"
        published = f"HOST://127.0.0.1:{port['published']}"
        assert published in broker["environment"]["KAFKA_ADVERTISED_LISTENERS"]
        assert broker["healthcheck"]["test"]
    assert len({broker["volumes"][0]["source"] for broker in brokers.values()}) == len(BROKERS)
    assert made["name"] != merged()["name"]
    for spec in PROCESSES:
        bootstrap = made["services"][spec.name]["environment"][f"{spec.prefix}_KAFKA_BOOTSTRAP"]
        assert bootstrap.split(",") == [f"{name}:9092" for name in BROKERS]


def test_prometheus_scrapes_each_service_with_the_rules_of_the_repository() -> None:
    made = merged("compose.monitoring.yaml")["services"]
    files = {v["target"]: v["source"] for v in made["prometheus"]["volumes"] if v["type"] == "bind"}
    settings = yaml.safe_load(
        (ROOT / "deploy/monitoring/prometheus.compose.yaml").read_text("utf-8")
    )
    assert settings["rule_files"] == ["rules.yaml"]
    assert files["/etc/prometheus/rules.yaml"] == str(ROOT / "deploy/monitoring/rules.yaml")
    (job,) = settings["scrape_configs"]
    assert job["job_name"] == "checkout"
    targets = [f"{spec.name}:{spec.port}" for spec in SERVICES]
    assert job["static_configs"] == [{"targets": targets}]


def test_the_secured_system_is_monitored_as_the_plain_one_is() -> None:
    secured = merged("compose.secure.yaml")
    made = merged("compose.secure.yaml", "compose.monitoring.yaml")
    alone = merged("compose.monitoring.yaml")["services"]
    assert made["name"] == secured["name"]
    for name in ("prometheus", "grafana", "traces"):
        assert made["services"][name] == alone[name]
    for spec in SERVICES:
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://traces:4318"}
        before, after = (each["services"][spec.name]["environment"] for each in (secured, made))
        assert after == before | traced
        assert after[f"{spec.prefix}_KAFKA_SECURITY"] == "SASL_SSL"


def test_each_server_of_monitoring_is_confined_and_on_loopback_and_its_files_are_there() -> None:
    plain, made = merged()["services"], merged("compose.monitoring.yaml")["services"]
    added = {name: made[name] for name in made.keys() - plain.keys()}
    assert added.keys() == {"prometheus", "grafana", "traces"}
    for each in added.values():
        assert each["cap_drop"] == ["ALL"]
        assert each["read_only"] is True
        assert {port["host_ip"] for port in each["ports"]} == {"127.0.0.1"}
        bound = [v["source"] for v in each.get("volumes", ()) if v["type"] == "bind"]
        assert [source for source in bound if not os.path.isfile(source)] == []  # noqa: PTH113
    for spec in SERVICES:
        traced = made[spec.name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert traced == "http://traces:4318"
