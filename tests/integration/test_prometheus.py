"""A real Prometheus looks at the running system: names, units, and every query that is shipped."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from saga_cli.stack import ports
from saga_cli.stack.processes import ChildProcess
from saga_cli.stack.services import Services
from saga_cli.topology import SERVICES
from tests.support import prometheus
from tests.support.shop import Load
from tests.support.waiting import until

MONITORING: Final = Path(__file__).parents[2] / "deploy" / "monitoring"
PANELS: Final = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
TARGETS: Final = [(p["title"], t["expr"]) for p in PANELS for t in p.get("targets", ())]
QUIET: Final = {"Calls without an outcome", "Degraded", "Checkouts that fail"}
"""Panels that are empty while all is well."""


def test_the_rules_pass_their_tests() -> None:
    assert "SUCCESS" in prometheus.run(
        "promtool", "test", "rules", "rules_test.yaml", cwd=MONITORING
    )


def test_the_examples_are_valid() -> None:
    assert "SUCCESS" in prometheus.run(
        "promtool", "check", "config", "prometheus.yaml", cwd=MONITORING
    )
    assert "SUCCESS" in prometheus.run(
        "amtool", "check-config", "alertmanager.yaml", cwd=MONITORING
    )


@pytest.mark.parametrize(("severity", "receiver"), [("page", "pages"), ("ticket", "tickets")])
def test_an_alert_goes_to_who_has_to_act(severity: str, receiver: str) -> None:
    wanted = ("--config.file=alertmanager.yaml", f"severity={severity}", "service=order")
    shown = prometheus.run("amtool", "config", "routes", "test", *wanted, cwd=MONITORING)
    assert shown.splitlines()[0] == receiver


@pytest.mark.parametrize("service", [spec.name for spec in SERVICES])
def test_metrics_are_named_as_prometheus_asks_for(stack: Services, service: str) -> None:
    for instance in stack.of(service):
        text = httpx.get(f"{instance.url}/metrics").text
        assert "saga_build_info{python=" in text
        assert prometheus.run("promtool", "check", "metrics", given=text) == ""


@pytest.fixture(scope="module")
def asked(stack: Services) -> Iterator[Any]:
    """Asks a Prometheus that has looked at the system while orders flowed."""
    instances = [i for i in stack.instances if i.process.is_alive()]
    targets = [i.url.removeprefix("http://") for i in instances]
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
    config["rule_files"] = [str(MONITORING / "rules.yaml")]
    del config["alerting"]
    with tempfile.TemporaryDirectory() as folder:
        file, port = Path(folder) / "prometheus.yaml", ports.hold()
        file.write_text(yaml.safe_dump(config))
        url = f"http://127.0.0.1:{port.number}"
        command = [
            prometheus.program("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port.number}",
        ]
        server = ChildProcess("prometheus", command, Path(folder) / "prometheus.log")
        server.start()

        def ask(query: str) -> list[Any]:
            answer = httpx.get(f"{url}/api/v1/query", params={"query": query}).json()
            assert answer["status"] == "success", answer
            found: list[Any] = answer["data"]["result"]
            return found

        def is_ready() -> bool:
            """Until it has read its own data it answers 503."""
            try:
                return httpx.get(f"{url}/-/ready").is_success
            except httpx.TransportError:
                return False

        def has_all() -> bool:
            return len(ask('up{job="checkout"} == 1')) == len(targets)

        try:
            until(is_ready, 60, "Prometheus")
            until(has_all, 60, f"Prometheus to reach {len(targets)} processes")
            with Load(stack.url("order"), cancels=True).running() as load:
                load.await_more(40)
                until(
                    lambda: ask("increase(saga_orders_settled_total[1m]) > 3"), 60, "settled orders"
                )
            yield ask
        finally:
            assert server.stop() == 0, server.tail()
            port.release()


@pytest.mark.parametrize(
    ("title", "query"), TARGETS, ids=[f"{t} {n}" for n, (t, _) in enumerate(TARGETS)]
)
def test_a_panel_shows_something(asked: Any, title: str, query: str) -> None:
    found = asked(query)
    values = [float(each["value"][1]) for each in found]
    assert found or title in QUIET
    assert title in QUIET or any(value == value for value in values), "not a number"  # noqa: PLR0124


def test_every_rule_is_evaluated(asked: Any) -> None:
    for rule in yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"][0]["rules"]:
        asked(rule["expr"])
