"""Every response of a service is held against the OpenAPI document that the service serves."""

import re
from contextlib import suppress
from typing import Any, Final

import httpx
import jsonschema_rs
import pytest

from chassis.http.app import API_VERSION
from chassis.http.problems import MEDIA_TYPE, ProblemDetails
from saga_cli.topology import BY_NAME

UNDESCRIBED: Final = {"/openapi.json", "/docs", "/redoc", "/example"}
PROBLEM: Final = jsonschema_rs.validator_for(ProblemDetails.model_json_schema())


class Description:
    """What a service says of its responses."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.paths = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), methods)
            for path, methods in sorted(document["paths"].items(), key=lambda x: x[0].count("{"))
        ]
        self.validators: dict[int, Any] = {}

    def check(self, method: str, path: str, response: httpx.Response) -> None:
        """Raises AssertionError where the response is not as described."""
        if path in UNDESCRIBED:
            return
        methods = next((m for pattern, m in self.paths if pattern.fullmatch(path)), None)
        place = f"{method} {path} -> {response.status_code}"
        if methods is None or method.lower() not in methods:
            self._check_problem(response, place)
            status, code = (404, "not_found") if methods is None else (405, "method_not_allowed")
            found = response.json()["code"] if method != "HEAD" else code
            assert (response.status_code, found) == (status, code), f"{place}: no such operation"
            assert methods is None or response.headers["Allow"], place
            return
        described = methods[method.lower()]["responses"].get(str(response.status_code))
        assert described is not None, f"{place} is not in the document: {response.text[:300]}"
        described = self.resolved(described)
        for name, header in described.get("headers", {}).items():
            self._check_header(name, self.resolved(header), response, place)
        if "content" in described:
            self._check_content(described["content"], response, place)
        else:
            assert response.content == b"", place

    def resolved(self, found: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in found:
            part: Any = self.document
            for name in found["$ref"].removeprefix("#/").split("/"):
                part = part[name]
            found = part
        return found

    def _check_problem(self, response: httpx.Response, place: str) -> None:
        assert response.headers.get("Content-Type") == MEDIA_TYPE, place
        if response.request.method != "HEAD":
            PROBLEM.validate(response.json())

    def _check_header(
        self, name: str, header: dict[str, Any], response: httpx.Response, place: str
    ) -> None:
        value = response.headers.get(name)
        assert value is not None or not header.get("required"), f"{place}: {name} is missing"
        if value is not None:
            read = int(value) if header["schema"].get("type") == "integer" else value
            self._validator(header["schema"]).validate(read)

    def _check_content(self, content: dict[str, Any], response: httpx.Response, place: str) -> None:
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        assert media_type in content, f"{place}: {media_type} is not in the document"
        if "json" in media_type and response.request.method != "HEAD":
            error = next(
                self._validator(content[media_type]["schema"]).iter_errors(response.json()), None
            )
            assert error is None, f"{place}: {error}"

    def _validator(self, schema: dict[str, Any]) -> Any:
        found = self.validators.get(id(schema))
        if found is None:
            complete = {**schema, "components": self.document["components"]}
            found = self.validators[id(schema)] = jsonschema_rs.validator_for(complete)
        return found


class AnswerCheck:
    """Checks what the clients of this process are answered, while it is `installed`."""

    def __init__(self) -> None:
        self.known: dict[Any, Description | None] = {}
        self.wrong: list[str] = []
        self.checked = 0

    def install(self, patch: pytest.MonkeyPatch) -> None:
        send, send_async = httpx.Client.send, httpx.AsyncClient.send

        def sent(client: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
            response = send(client, request, **more)
            if wanted := self._unknown(client, response):
                with suppress(httpx.TransportError):  # it has gone meanwhile
                    self._learn(client, send(client, wanted))
            self._look(client, response)
            return response

        async def sent_async(
            client: httpx.AsyncClient, request: httpx.Request, **more: Any
        ) -> httpx.Response:
            response = await send_async(client, request, **more)
            if wanted := self._unknown(client, response):
                with suppress(httpx.TransportError):
                    self._learn(client, await send_async(client, wanted))
            self._look(client, response)
            return response

        patch.setattr(httpx.Client, "send", sent)
        patch.setattr(httpx.AsyncClient, "send", sent_async)

    def _unknown(self, client: Any, response: httpx.Response) -> httpx.Request | None:
        """What asks the origin of a response for its document, if that is not known yet."""
        url = response.request.url
        known = _place(client, url) in self.known
        return None if known else httpx.Request("GET", url.copy_with(raw_path=b"/openapi.json"))

    def _learn(self, client: Any, answer: httpx.Response) -> None:
        is_json = answer.headers.get("Content-Type", "") == "application/json"
        info = answer.json().get("info", {}) if is_json and answer.is_success else {}
        is_ours = info.get("title") in BY_NAME and info.get("version") == API_VERSION
        place = _place(client, answer.request.url)
        self.known[place] = Description(answer.json()) if is_ours else None

    def _look(self, client: Any, response: httpx.Response) -> None:
        url, description = (
            response.request.url,
            self.known.get(_place(client, response.request.url)),
        )
        if description is None or not response.is_closed:
            return
        self.checked += 1
        method = "GET" if response.request.method == "HEAD" else response.request.method
        try:
            description.check(method, url.path, response)
        except (AssertionError, ValueError, jsonschema_rs.ValidationError) as error:
            self.wrong.append(f"{method} {url.path}: {error}")


def _place(client: Any, url: httpx.URL) -> Any:
    """Where a response came from: an address, or an application in this process."""
    transport = client._transport
    is_here = isinstance(transport, httpx.ASGITransport)
    return transport.app if is_here else f"{url.scheme}://{url.netloc.decode()}"
