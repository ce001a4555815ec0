"""The operators' routes of the services, as a client sees them."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx
from pydantic import ValidationError

from chassis.urls import http_url
from guarantees.whereabouts import REPORT, OrderReport, merged
from saga_cli.ops.tokens import operator_of
from saga_cli.stack import state
from saga_cli.targets import secret_in_environment
from saga_cli.terminal import CommandError, fail, message_of
from saga_cli.topology import BY_NAME, SERVICES

NOT_A_SERVICE: Final = httpx.codes.MISDIRECTED_REQUEST
"""The status when what answers is not the service that is asked."""
LOOK_S: Final = 3.0
CHANGE_S: Final = 60.0
INSTANCES: Final = 12 * len(SERVICES)  # asked at once: what `saga up --instances` allows
TOKEN: Final = "SAGA_OPERATOR_TOKEN"  # noqa: S105 - the name of a variable


WRONGLY_ASKED: Final = {401, 403, 421, 422}


class ServiceRefusedError(CommandError):
    """A service said no; `status` is the HTTP status, 0 when it did not answer.

    The exit code is 2 when what was asked is wrong, 1 when it can't be done now.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.exit_code = status, 2 if status in WRONGLY_ASKED else 1


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the services are, several instances of each perhaps, and the operator's access token.

    `is_here` if they are those of this folder's stack, which alone `saga restart` and `logs` are for.
    """

    urls: Mapping[str, Sequence[str]]
    token: str
    is_here: bool = False

    @classmethod
    def found(cls, *services: str) -> Self:
        """From the environment, else the running stack of this folder.

        Where the environment lacks one of these services, or of all without a name, or has one that
        is malformed, or nothing says where they are, the command ends with 2.
        """
        names = {spec.name: f"SAGA_{spec.prefix}_URL" for spec in SERVICES}
        given = {name: os.environ.get(variable, "") for name, variable in names.items()}
        if any(given.values()):
            token = secret_in_environment(TOKEN).read()
            wanted = {names[name]: given[name] for name in services or names} | {TOKEN: token}
            if missing := [variable for variable, text in wanted.items() if not text]:
                fail(f"set {', '.join(missing)} too")
            if not token.isascii() or not token.isprintable() or " " in token:
                fail(f"{TOKEN} is no token: it is of visible ASCII characters")
            urls = {name: _urls(names[name], text) for name, text in given.items() if text}
            return cls(urls, token)
        stack = state.found()
        if stack is None:
            a_url = " ".join((*names.values(), TOKEN))
            fail(f"no stack runs in this folder; for another, set {a_url}")
        if not stack.processes:
            fail("the stack is starting")
        found = {
            name: [p.address for p in stack.processes if p.name.startswith(f"{name}-")]
            for name in names
        }
        return cls(found, operator_of(stack), is_here=True)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, service: str, path: str, **query: str | int) -> Any:
        """Ask any instance. Raises ServiceRefusedError."""
        return self._request(service, "GET", path, LOOK_S, params=query)

    def post(self, service: str, path: str, **body: Any) -> Any:
        """Ask one instance to act. Raises ServiceRefusedError; the status is 0 if none answered."""
        return self._request(service, "POST", path, CHANGE_S, json=body)

    def _request(self, service: str, method: str, path: str, timeout_s: float, **sent: Any) -> Any:
        """Of the first instance that answers; what one may have acted on goes to no other."""
        silence = ServiceRefusedError(0, f"{service} does not answer")
        for url in self.urls[service]:
            try:
                answer = httpx.request(
                    method, f"{url}{path}", headers=self.headers, timeout=timeout_s, **sent
                )
            except (httpx.TransportError, httpx.InvalidURL) as error:
                is_sent = not isinstance(error, httpx.ConnectError | httpx.InvalidURL)
                if method == "POST" and is_sent:
                    why = f"{service} took the request, and no answer came: {message_of(error)}"
                    raise ServiceRefusedError(0, why) from error
                silence = ServiceRefusedError(0, f"{service} does not answer: {message_of(error)}")
            else:
                return _body(service, answer)
        raise silence

    def reports(self, key: str) -> list[OrderReport]:
        """What each service says of an order, asked all at once.

        Raises ServiceRefusedError for a bad token.
        """
        client = httpx.Client(headers=self.headers, timeout=LOOK_S)
        with client, ThreadPoolExecutor(INSTANCES) as pool:
            asked = [
                [pool.submit(_report, client, service, url, key) for url in self.urls[service]]
                for service in BY_NAME
            ]
            return [merged([each.result() for each in instances]) for instances in asked]


def _urls(variable: str, text: str) -> list[str]:
    try:
        return [http_url(url.strip()).rstrip("/") for url in text.split(",")]
    except ValueError as error:
        fail(f"{variable}: {error}")


def _report(client: httpx.Client, service: str, url: str, key: str) -> OrderReport:
    """One instance's answer; silence is an answer as well."""
    try:
        answer = client.get(f"{url}/ops/orders", params={"key": key})
    except httpx.TimeoutException:
        silent = f"does not answer within {LOOK_S:.0f} s"
        return OrderReport(service, silent=silent, broken=service)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        return OrderReport(service, silent=f"does not answer: {message_of(error)}", broken=service)
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        if "issuer_away" in answer.text:
            return OrderReport(service, silent="can't verify tokens", broken=service)
        store = "postgres" if BY_NAME[service].has_database else "redis"
        return OrderReport(service, silent="can't reach its store", broken=store)
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return OrderReport(service, silent=f"answers {answer.status_code}", broken=service)
    try:
        report = REPORT.validate_python(_body(service, answer))
    except ValidationError as error:
        why = f"{service} is of another release than this command: {error.errors()[0]['msg']}"
        raise ServiceRefusedError(answer.status_code, why) from error
    if report.service != service:
        raise ServiceRefusedError(NOT_A_SERVICE, f"{url} is {report.service}, not {service}")
    return report


def _body(service: str, answer: httpx.Response) -> Any:
    """The answer's JSON. Raises ServiceRefusedError with what the service says is wrong."""
    try:
        body = answer.json()
    except ValueError as error:
        why = f"{service} is no service of this kind: it answers {answer.status_code} without JSON"
        raise ServiceRefusedError(NOT_A_SERVICE, why) from error
    if answer.is_success:
        return body
    detail = body.get("detail", "") if isinstance(body, dict) else ""
    raise ServiceRefusedError(answer.status_code, f"{service}: {detail or answer.status_code}")
