"""Every service's OpenAPI document says all that a client has to know, and lets in no loose text."""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from saga_cli.topology import BY_NAME
from tests.support.documents import document_of

SERVICE: Final = pytest.mark.parametrize("service", BY_NAME)
HOSTILE: Final = ("\x00", "\x1b[31m", "\r\n", "\x7f", "\x85", "\u2028")
OF_OTHERS: Final = {"key"}
"""Names what others wrote: of it only what PostgreSQL can't keep is refused."""
PUBLIC: Final = ("/health/", "/metrics", "/version", "/webhooks/")
MEDIA_TYPES: Final = {
    "/metrics": {"text/plain"},
    "/orders/{order_id}/events": {"text/event-stream"},
}
"""Of answers that are not JSON."""
PROBLEM: Final = {"$ref": "#/components/schemas/ProblemDetails"}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        yield from ((method, path, operation) for method, operation in methods.items())


def resolved(document: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in found:
        part: Any = document
        for name in found["$ref"].removeprefix("#/").split("/"):
            part = part[name]
        found = part
    return found


def texts(document: dict[str, Any], name: str, schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each string of what a client sends, under the name of its field."""
    schema = resolved(document, schema)
    if schema.get("type") == "string":
        yield name, schema
    for key, inner in schema.get("properties", {}).items():
        yield from texts(document, key, inner)
    for inner in (*schema.get("anyOf", ()), *filter(None, [schema.get("items")])):
        yield from texts(document, name, inner)


def unlimited(document: dict[str, Any], schema: Any) -> Iterator[dict[str, Any]]:
    """Each number of what a client sends that has no least or no greatest value."""
    schema = resolved(document, schema)
    limits = (
        {"minimum", "exclusiveMinimum"} & schema.keys(),
        {"maximum", "exclusiveMaximum"} & schema.keys(),
    )
    if schema.get("type") in {"integer", "number"} and not all(limits):
        yield schema
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    for part in (*inner, *filter(None, [schema.get("items")])):
        yield from unlimited(document, part)


def sent(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", []):
            if parameter["name"] != "Prefer":  # whatever is malformed in it is ignored
                yield from texts(document, parameter["name"], parameter["schema"])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            yield from texts(document, "body", content["schema"])


@SERVICE
def test_every_text_that_a_client_sends_is_bounded_and_takes_no_control_character(
    service: str,
) -> None:
    document = document_of(service)
    found = list(sent(document))
    assert len(found) > 10
    for name, schema in found:
        if schema.get("format") == "uuid":
            continue
        assert schema.get("maxLength", 10**9) <= 4096, (name, schema)
        let_in = [text for text in HOSTILE if re.search(schema["pattern"], text)]
        assert let_in == [] or (name in OF_OTHERS and "\x00" not in let_in), (name, let_in)


@SERVICE
def test_every_number_that_a_client_sends_has_limits(service: str) -> None:
    document = document_of(service)
    for method, path, operation in operations(document):
        contents = operation.get("requestBody", {}).get("content", {}).values()
        for given in (*operation.get("parameters", []), *contents):
            assert list(unlimited(document, given["schema"])) == [], (method, path)


@SERVICE
def test_every_operation_says_what_it_is_for_and_what_it_answers(service: str) -> None:
    document = document_of(service)
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert document["servers"]
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    for method, path, operation in operations(document):
        place = (method, path)
        assert operation["summary"], place
        assert operation["description"], place
        assert set(operation["tags"]) <= tags, place
        assert any(status.startswith("2") for status in operation["responses"]), place
        assert {"400", "408", "431", "500", "503"} <= operation["responses"].keys(), place
        assert ("security" in operation) != path.startswith(PUBLIC), place
        for status, given in operation["responses"].items():
            response = resolved(document, given)
            if status == "204":
                assert "content" not in response, place
                continue
            content = response["content"]
            schemas = {kind: body["schema"] for kind, body in content.items()}
            if status >= "400":
                assert schemas == {"application/problem+json": PROBLEM}, (place, status)
            else:
                assert set(schemas) == MEDIA_TYPES.get(path, {"application/json"}), place
                assert all(schemas.values()), (place, status)


@SERVICE
def test_every_body_and_parameter_in_a_path_has_an_example(service: str) -> None:
    document = document_of(service)
    for method, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = resolved(document, content["schema"])
            assert schema.get("examples"), (method, path)
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path":
                assert parameter.get("examples") or parameter["schema"].get("examples"), path


@SERVICE
def test_what_a_client_must_do_on_an_error_is_in_a_header(service: str) -> None:
    document = document_of(service)
    needed = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
    seen = set()
    for _, path, operation in operations(document):
        for status, name in needed.items():
            if status in operation["responses"]:
                response = resolved(document, operation["responses"][status])
                assert resolved(document, response["headers"][name])["required"], (path, status)
                seen.add(status)
    assert seen == set(needed)
