"""Refusals over HTTP: a test names the status and the reason."""

import httpx


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code; raises AssertionError for an answer that is no problem, or is of another status."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code, answer.text
    return answer.status_code, str(body["code"])


def outcome_of(answer: httpx.Response) -> tuple[int, str]:
    """The same, and of a success its status without a code."""
    return problem_of(answer) if answer.status_code >= 400 else (answer.status_code, "")
