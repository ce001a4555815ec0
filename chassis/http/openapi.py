"""A service's OpenAPI document: FastAPI's, with every error that a route can answer with.

Which errors those are follows from what the route is (it has a body, parameters, a key, a token);
only what its own rules refuse is said beside it, by `refusals`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from chassis.http.access import SCHEME
from chassis.http.problems import MEDIA_TYPE, ProblemDetails

HEALTH: Final = "health"
DESCRIPTIONS: Final[dict[int, tuple[str, str]]] = {
    400: (
        "BadRequest",
        (
            "Malformed: the body is no JSON, a header is no value of its kind, or the operation has no"
            " such query parameter."
        ),
    ),
    401: (
        "Unauthorized",
        "There is no access token (`token_missing`), or it counts for nothing (`invalid_token`).",
    ),
    403: (
        "Forbidden",
        (
            "The access token lacks the scope (`insufficient_scope`). Other codes: it is about"
            " what is another's, or the service was started without what this needs."
        ),
    ),
    404: ("NotFound", "There is no such thing."),
    408: ("RequestTimeout", "The request did not come in time; its connection is closed."),
    409: (
        "Conflict",
        (
            "`in_flight`: a request with the same key is being handled, try again after `Retry-After`."
            " Other codes: the state of the thing does not allow it."
        ),
    ),
    413: ("ContentTooLarge", "The body is longer than 65,536 bytes."),
    414: ("UriTooLong", "The request line is too long."),
    415: ("UnsupportedMediaType", "The body is not `application/json`, or it is compressed."),
    422: (
        "UnprocessableContent",
        (
            "Well-formed, but not valid: `errors` names each field. `idempotency_key_reused`: the key"
            " was used with another body."
        ),
    ),
    429: (
        "TooManyRequests",
        (
            "Overloaded, or the caller asks too often (`rate_limited`): nothing was done. Try again"
            " after `Retry-After`."
        ),
    ),
    431: ("RequestHeaderFieldsTooLarge", "The header section is too long, or has too many lines."),
    500: ("InternalServerError", "An unexpected error; it is in the service's log."),
    503: (
        "ServiceUnavailable",
        (
            "The store is away, or the service is stopping or has too many connections; or tokens can't"
            " be verified (`issuer_away`): then nothing was done. Else, whether the"
            " request was carried out is not known: repeat it after `Retry-After`, with the same"
            " Idempotency-Key where it had one."
        ),
    ),
}
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Retry-After": {
        "description": "Seconds until another try makes sense (RFC 9110).",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimit": {
        "description": "What is left of a rate: `r` requests, full again in `t` seconds (IETF draft).",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "The rate: `q` requests in `w` seconds (IETF draft).",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "The scheme that is asked for, and what was wrong (RFC 9110, RFC 6750).",
        "schema": {"type": "string"},
    },
    "Idempotency-Replayed": {
        "description": "`true`: this is the answer to an earlier request with the same key.",
        "schema": {"type": "string", "const": "true"},
    },
}
BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": (
        "An access token of the issuer (RFC 6750, RFC 9068). An operation names the scopes of which"
        " it takes one."
    ),
}
OF_ERRORS: Final = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    409: ("Retry-After",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}
REQUIRED: Final = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


class Api(FastAPI):
    """An application whose document is true."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            _complete(super().openapi())
        assert self.openapi_schema is not None
        return self.openapi_schema


def operation_id(route: APIRoute) -> str:
    """The function's name: what generated clients call their methods."""
    return route.name


def refusals(**why: str) -> dict[int | str, dict[str, Any]]:
    """A route's own refusals: `refusals(_404="There is none.")`."""
    return {int(status.removeprefix("_")): {"description": text} for status, text in why.items()}


def links(name: str, *operations: str) -> dict[str, Any]:
    """The operations that can be asked for next, of a response in a route's `responses`.

    Each takes the response's field `name` as its parameter of that name.
    """
    parameters = {name: f"$response.body#/{name}"}
    return {id_: {"operationId": id_, "parameters": parameters} for id_ in operations}


def header(description: str, *, required: bool = False, **schema: Any) -> dict[str, Any]:
    """A response header, for a route's `responses`."""
    return {
        "description": description,
        "required": required,
        "schema": {"type": "string", **schema},
    }


def _complete(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schema = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs"))
    schemas["ProblemDetails"] = schema
    components["headers"] = HEADERS
    components["securitySchemes"] = {SCHEME: BEARER}
    components["responses"] = {
        name: _error(status, text) for status, (name, text) in DESCRIPTIONS.items()
    }
    for method, operation in _operations(document):
        _add_errors(method, operation)
    used = {tag for _, operation in _operations(document) for tag in operation["tags"]}
    document["tags"] = [tag for tag in document.get("tags", []) if tag["name"] in used]


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for methods in document["paths"].values():
        yield from methods.items()


def _add_errors(method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    texts = {status: r["description"] for status, r in responses.items() if status >= "400"}
    for status in texts:
        del responses[status]
    for status in sorted(_errors(method, operation) | {int(s) for s in texts if s != "422"}):
        name, _ = DESCRIPTIONS[status]
        text = texts.get(str(status)) if status != 422 else None  # noqa: PLR2004 - FastAPI's own
        responses[str(status)] = (
            _error(status, text) if text else {"$ref": f"#/components/responses/{name}"}
        )
    if _has_key(operation):
        for status, response in responses.items():
            if status < "300":
                kept = {"$ref": "#/components/headers/Idempotency-Replayed"}
                response.setdefault("headers", {})["Idempotency-Replayed"] = kept


def _errors(method: str, operation: Mapping[str, Any]) -> set[int]:
    """The statuses that any route of its kind can answer with."""
    found = {400, 408, 414, 431, 500, 503}
    if HEALTH in operation["tags"]:
        return found
    parameters = operation.get("parameters", [])
    has_body, has_key = "requestBody" in operation, _has_key(operation)
    if has_body or any(p["in"] in {"path", "query"} for p in parameters):
        found |= {422}
    if has_body:
        found |= {413, 415}
    if has_key:
        found |= {409, 413, 422}
    if method != "get" or "security" in operation:
        found |= {429}
    if "security" in operation:
        found |= {401, 403}
    return found


def _has_key(operation: Mapping[str, Any]) -> bool:
    return any(p["name"].lower() == "idempotency-key" for p in operation.get("parameters", []))


def _error(status: int, description: str) -> dict[str, Any]:
    headers = {
        name: {**HEADERS[name], "required": True}
        if REQUIRED.get(status) == name
        else {"$ref": f"#/components/headers/{name}"}
        for name in OF_ERRORS.get(status, ())
    }
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    content = {MEDIA_TYPE: {"schema": schema}}
    return {"description": description, "content": content} | (
        {"headers": headers} if headers else {}
    )
