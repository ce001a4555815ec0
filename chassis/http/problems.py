"""Errors as problem+json (RFC 9457): what a route raises, and what a client gets."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Response
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

MEDIA_TYPE: Final = "application/problem+json"
ANSWERED_WITH: Final[Mapping[int | str, Mapping[str, str]]] = {
    415: {"Accept": "application/json", "Accept-Encoding": "identity"},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1"},
    "in_flight": {"Retry-After": "1"},
}


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An error answer: a stable `code`, and `detail` for people."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.more = status, code, detail, more
        self.headers = headers or {}


def problem(
    status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """The response; text that UTF-8 can't carry (half a surrogate pair) is escaped in it."""
    body = {"type": f"urn:problem:{code}", "title": code.replace("_", " "), "status": status}
    return Response(
        to_json(_encodable({**body, "code": code, "detail": detail, **more})),
        status,
        media_type=MEDIA_TYPE,
        headers={**ANSWERED_WITH.get(code, ANSWERED_WITH.get(status, {})), **(headers or {})},
    )


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {key: _encodable(x) for key, x in value.items()}
        case list():
            return [_encodable(x) for x in value]
        case _:
            return value


class InvalidField(BaseModel):
    field: str
    message: str


class ProblemDetails(BaseModel):
    """An error (RFC 9457). `code` is stable; `detail` is for people. Others may come with a code."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[InvalidField] = []
