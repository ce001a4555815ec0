"""The rules for Prometheus name metrics, labels and pages that there are."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import REGISTRY

from chassis import metrics
from chassis.postgres.sql import GAUGES

ROOT: Final = Path(__file__).parents[2]
RULES: Final = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"][0][
    "rules"
]
REASONS: Final = re.findall(
    r"^\| `(\w+)` \| (?:200|503) \|", (ROOT / "docs/operators.md").read_text(), re.MULTILINE
)
OF: Final = {"what": set(GAUGES), "outcome": {"Malformed"}, "reason": set(REASONS)}
"""The values that a rule may ask for, by label."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    assert metrics.MESSAGES._name == "saga_messages"
    known = {f"{m.name}_total" if m.type == "counter" else m.name for m in REGISTRY.collect()}
    named = set(re.findall(r"\bsaga_\w+", rule["expr"]))
    assert named
    assert named <= known
    for label, value in re.findall(r'(\w+)="(\w+)"', rule["expr"]):
        assert value in OF[label]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_leads_to_a_page(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
