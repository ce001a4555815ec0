"""Reports of tests, as workers of `pytest -n` send them."""

import json

import pytest


def test_a_report_that_quotes_a_lone_surrogate_can_be_sent(request: pytest.FixtureRequest) -> None:
    quoted = "before \ud800 after"
    report = pytest.TestReport(
        *("tests/x.py::test_x", ("tests/x.py", 1, "test_x"), {}, "failed", quoted, "call"),
        sections=[("Captured log call", quoted)],
    )
    data = request.config.hook.pytest_report_to_serializable(config=request.config, report=report)
    assert "before \\ud800 after" in data["longrepr"]
    json.dumps(data, ensure_ascii=False).encode("utf-8")
