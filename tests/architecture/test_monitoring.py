"""What Prometheus, Alertmanager and Grafana are given names metrics, labels and pages that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import REGISTRY

from chassis import metrics
from chassis.message import EffectProgress
from order_svc import measures
from saga_cli.topology import SERVICES
from shared_events.catalog import CATALOG

ROOT: Final = Path(__file__).parents[2]
MONITORING: Final = ROOT / "deploy" / "monitoring"
RULES: Final = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"][0]["rules"]
ALERTS: Final = [rule for rule in RULES if "alert" in rule]
PANELS: Final = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
QUERIES: Final = [
    *((rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES),
    *((panel["title"], t["expr"]) for panel in PANELS for t in panel.get("targets", ())),
]
REASONS: Final = re.findall(
    r"^\| `(\w+)` \| (?:200|503) \|", (ROOT / "docs/operators.md").read_text(), re.MULTILINE
)
OF: Final[dict[str, set[str]]] = {
    "progress": set(EffectProgress),
    "outcome": {"Malformed", "confirmed", "cancelled"},
    "reason": set(REASONS),
    "service": {spec.name for spec in SERVICES},
    "route": {"/checkout"},
    "lane": {entry.lane for entry in CATALOG.entries},
    "job": {"checkout"},
}
"""The values that a query may ask for, by label."""
GIVEN: Final = {"up", "process_cpu_seconds_total"}
"""Of Prometheus, and of each Python process."""


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_a_query_asks_for_what_there_is(name: str, query: str) -> None:
    assert metrics.MESSAGES._name == "saga_messages"
    assert measures.SETTLED._name == "saga_orders_settled"
    known = set(_series())
    named = set(re.findall(r"\b(?:saga|http|process|checkout)_\w+(?=[{\[)\s]|$)", query))
    recorded = set(re.findall(r"\bcheckout:\w+:\w+", query)) <= {r.get("record") for r in RULES}
    assert recorded, name
    assert named - GIVEN <= known, name
    for label, value in re.findall(r'(\w+)="([\w/]+)"', query):
        assert value in OF[label], name


def _series() -> Iterator[str]:
    for metric in REGISTRY.collect():
        match metric.type:
            case "counter":
                yield f"{metric.name}_total"
            case "histogram":
                yield from (f"{metric.name}_{part}" for part in ("bucket", "count", "sum"))
            case _:
                yield metric.name


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_leads_to_a_page(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def test_each_alert_has_a_test_in_which_it_fires() -> None:
    tests = yaml.safe_load((MONITORING / "rules_test.yaml").read_text())["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in ALERTS}


def test_panels_do_not_overlap() -> None:
    taken = [
        (p["gridPos"]["x"] + x, p["gridPos"]["y"] + y)
        for p in PANELS
        for x in range(p["gridPos"]["w"])
        for y in range(p["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert len({p["id"] for p in PANELS}) == len(PANELS)
