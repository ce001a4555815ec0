"""A console in this process, over sample values, and browsers that have signed in."""

import re
from typing import Any, Final

import httpx

from console.web.app import ConsoleOptions, make_console
from tests.support.callers import gate_for
from tests.support.console_sample import SampleQueries, SampleServices

CALLERS: Final = {"vera": ("view",), "anna": ("operate",), "otto": ("audit",), "carl": ("orders",)}
"""Their scopes."""
VIEWER: Final = "https://viewer.example.com/trace/{trace_id}"
HTML: Final = {"Accept": "text/html"}


async def nothing_fails() -> tuple[Any, ...]:
    return ()


def refusal_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code, of a problem or of a page."""
    if answer.headers["Content-Type"] == "application/problem+json":
        return answer.status_code, str(answer.json()["code"])
    code = re.search(r'data-code="([a-z_]+)"', answer.text)
    assert code, answer.text
    return answer.status_code, code[1]


class ConsoleCase:
    def __init__(self) -> None:
        self.queries = SampleQueries({"payment:Capture": 90})
        self.services = SampleServices()
        self.app = make_console(
            self.queries.as_queries(),
            self.services.urls,
            gate_for(**CALLERS),
            nothing_fails,
            ConsoleOptions(trace_url=VIEWER, transport=self.services.transport),
        )

    def client(self, who: str = "anna", **more: Any) -> httpx.AsyncClient:
        """A browser that has signed in."""
        headers = {**HTML, "Cookie": f"console_session={who}", **more, "Authorization": ""}
        del headers["Authorization"]
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://console", headers=headers)
