"""How a request is framed, and that it gets an answer."""

import asyncio
import re
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from chassis.http.problems import problem

HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


class Refused(Exception):  # noqa: N818 - an answer, raised through the parser
    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class Answering:
    """Whatever the application does, its request gets an answer: a problem where it gave none."""

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle) -> None:
        self.app, self.cycle = app, cycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            if self.cycle.response_started:
                raise
            why = "the service stops: ask again with the same Idempotency-Key"
            await problem(503, "shutting_down", why)(scope, receive, send)
        except Exception:
            if not self.cycle.response_started:
                why = "an unexpected error; it is in the log"
                await problem(500, "internal_error", why)(scope, receive, send)
            raise


def framing(headers: list[tuple[bytes, bytes]], version: str) -> int | None:
    """The length of the body in bytes; None where it is chunked.

    Raises Refused for a Host that is missing, doubled or malformed, and for a transfer coding that
    is not understood. What else is wrong with the lengths the parser has refused.
    """
    length: int | None = 0
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not HOST.fullmatch(value):
                raise Refused(400, "malformed_request", "Host is malformed")
        elif name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            if version == "1.0":
                raise Refused(400, "malformed_request", "Transfer-Encoding in HTTP/1.0")
            if value.strip().lower() != b"chunked":
                raise Refused(501, "coding_unsupported", "the only transfer coding is chunked")
            length = None
    if hosts > 1 or (not hosts and version != "1.0"):
        raise Refused(400, "malformed_request", "a request has one Host")
    return length
