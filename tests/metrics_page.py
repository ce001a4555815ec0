"""docs/metrics.md: every metric, as its declaration says it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TYPES: Final = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram"}
INTRODUCTION: Final = """\
# Metrics

Made by `python -m tests.docs_pages` from the declarations; a test compares it with the code. Do not edit it
by hand.

Every service answers `GET /metrics` in Prometheus' text format, on its own port or on that of
`X_HTTP_ADMIN_PORT`. Names and units follow Prometheus' conventions, which `promtool check metrics` checks in
the tests. No label has values without a bound: customers, orders, SKUs and ids are in none of them, and of
names that others give, such as a provider's reasons, the first 40 have series of their own; the rest is
`other`.

Gauges of a store (`saga_outbox_*`, `saga_parked_*`, `saga_effects_outstanding`, `saga_orders_*`) are the
same at all instances of a service: use `max by (service)`, not `sum`. They are measured every 2 s.

`deploy/monitoring/` has what to do with them:

- `rules.yaml`: alerts, each with the page that says what to do, and the error budget of checkouts as burn
  rates over two windows; `rules_test.yaml` has their tests, for `promtool test rules`;
- `dashboard.json` for Grafana, `prometheus.yaml` and `alertmanager.yaml` as examples to start from.
"""
HEAD: Final = "| metric | type | labels | what it says |\n|---|---|---|---|"


def metrics_page() -> str:
    shared, own = (sorted(_rows(name)) for name in ("chassis/metrics.py", "order_svc/measures.py"))
    parts = (
        INTRODUCTION,
        *_table("Of every service", shared),
        *_table("Of the order service", own),
    )
    return "\n".join(parts)


def _table(title: str, rows: list[str]) -> tuple[str, ...]:
    return (f"## {title}", "", HEAD, *rows, "")


def _rows(file: str) -> Iterator[str]:
    for call in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in TYPES:
            name, says, *more = (ast.literal_eval(argument) for argument in call.args)
            labels = ", ".join(f"`{label}`" for label in (more[0] if more else ()))
            yield f"| `{name}` | {TYPES[call.func.id]} | {labels} | {says} |"
