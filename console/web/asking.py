"""What the services say for themselves: their operators' routes, health and metrics, over HTTP.

Each is asked with the token of who looks, so that a service decides itself, and its audit trail names the
person. No answer is an answer: it is shown as one.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from chassis import clock
from chassis.tls import PLAIN
from guarantees.services import BY_NAME
from guarantees.whereabouts import REPORT, OrderReport, merged

LOOK_S: Final = 3.0
CHANGE_S: Final = 30.0
KEPT_S: Final = 2.0
"""What a service says of itself is asked once in so many seconds, however many look."""
PAGE: Final = 500
"""Parked keys that one request brings."""
KEYS_MAX: Final = 1_000
"""So many parked keys of one service are looked at: it reads each of them."""
MEASURED: Final = re.compile(
    r"^(process_start_time_seconds|saga_(build_info|circuit_state|consumer_lag_records"
    r"|consumer_lag_seconds|outbox_oldest_seconds|outbox_rows|parked_keys|parked_messages))\b.*$",
    re.MULTILINE,
)
CIRCUITS: Final = {0.0: "closed", 1.0: "half open", 2.0: "open"}


class NoAnswerError(Exception):
    """A service answers no, or nothing; `status` is 0 when it did not answer. `str()` says why.

    `code` is that of the service's problem, "" without one.
    """

    def __init__(self, status: int, why: str, code: str = "") -> None:
        super().__init__(why)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class ServiceInstance:
    """What one process of a service says of itself; without an answer `silent` says why."""

    service: str
    url: str
    silent: str = ""
    is_ready: bool = False
    reasons: tuple[tuple[str, str, str], ...] = ()
    """What fails: its name, a text, and since when."""
    version: str = ""
    since: datetime | None = None
    """When the process started: since then it runs this version."""
    lag: int | None = None
    lag_s: float | None = None
    outbox_rows: int = 0
    outbox_oldest_s: float = 0.0
    parked_keys: int = 0
    parked_messages: int = 0
    circuits: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ServiceDirectory:
    """Where the services are: of each the base URLs of its instances; `transport` is httpx' own if None."""

    urls: Mapping[str, Sequence[str]]
    transport: httpx.AsyncBaseTransport | None = None
    _client: httpx.AsyncClient | None = None
    _read_at: float = float("-inf")
    _instances: tuple[ServiceInstance, ...] = ()
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def client(self) -> httpx.AsyncClient:
        """Made by the first who asks: a console that nobody looks at holds no connection."""
        if self._client is None:
            is_plain = not any(
                url.startswith("https:") for each in self.urls.values() for url in each
            )
            self._client = httpx.AsyncClient(
                timeout=LOOK_S, verify=PLAIN if is_plain else True, transport=self.transport
            )
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def get(self, service: str, path: str, token: str, **query: str | int) -> Any:
        """Of the first instance that answers. Raises NoAnswerError."""
        return await self._ask(service, "GET", path, token, params=query)

    async def post(self, service: str, path: str, token: str, **body: Any) -> Any:
        """Of one instance: what it may have acted on is given to no other. Raises NoAnswerError."""
        return await self._ask(service, "POST", path, token, json=body, timeout=CHANGE_S)

    async def _ask(self, service: str, method: str, path: str, token: str, **sent: Any) -> Any:
        silence = NoAnswerError(0, f"{service} does not answer")
        for url in self.urls.get(service, ()):
            try:
                headers = {"Authorization": f"Bearer {token}"}
                answer = await self.client.request(method, f"{url}{path}", headers=headers, **sent)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
            except httpx.HTTPError as error:
                silence = NoAnswerError(0, f"{service} does not answer: {type(error).__name__}")
                if method == "POST":
                    raise silence from error
                continue
            return _body(service, answer)
        raise silence

    async def reports(self, order_id: str, token: str) -> list[OrderReport]:
        """What each service says of an order, asked all at once."""
        asked = (self._report(name, order_id, token) for name in BY_NAME)
        return list(await asyncio.gather(*asked))

    async def _report(self, service: str, order_id: str, token: str) -> OrderReport:
        headers, query = {"Authorization": f"Bearer {token}"}, {"key": order_id}

        async def of(url: str) -> OrderReport:
            try:
                answer = await self.client.get(f"{url}/ops/orders", headers=headers, params=query)
                return REPORT.validate_python(_body(service, answer))
            except httpx.TimeoutException:
                return OrderReport(service, silent=f"does not answer within {LOOK_S:.0f} s")
            except httpx.HTTPError:
                return OrderReport(service, silent="does not answer")
            except NoAnswerError as error:
                return OrderReport(service, silent=f"does not say: {error}")
            except ValidationError:
                return OrderReport(service, silent="is of another release than the console")

        urls = self.urls.get(service, ())
        found = await asyncio.gather(*map(of, urls))
        return merged(found) if found else OrderReport(service, silent="has no known address")

    async def parked(self, service: str, token: str) -> tuple[list[dict[str, Any]], int]:
        """The first dead letter of each parked key, up to KEYS_MAX, and how many keys there are."""
        heads: list[dict[str, Any]] = []
        while True:
            path, query = "/ops/dead-letters", {"offset": len(heads), "limit": PAGE}
            page = await self.get(service, path, token, **query)
            heads += page["heads"]
            if not page["heads"] or len(heads) >= min(page["keys"], KEYS_MAX):
                return heads, page["keys"]

    async def instances(self) -> tuple[ServiceInstance, ...]:
        """All processes of all services, as they were at most KEPT_S ago."""
        async with self._reading:
            if clock.monotonic() - self._read_at >= KEPT_S:
                asked = [
                    _instance(self.client, s, url) for s in BY_NAME for url in self.urls.get(s, ())
                ]
                self._instances = tuple(await asyncio.gather(*asked))
                self._read_at = clock.monotonic()
            return self._instances


async def _instance(client: httpx.AsyncClient, service: str, url: str) -> ServiceInstance:
    try:
        health = await client.get(f"{url}/health/ready")
        answer = health.json()
        metrics = await client.get(f"{url}/metrics")
    except httpx.TimeoutException:
        return ServiceInstance(service, url, silent=f"no answer within {LOOK_S:.0f} s")
    except (httpx.HTTPError, ValueError):
        return ServiceInstance(service, url, silent="no answer")
    reasons = tuple((r["reason"], r["detail"], r["since"]) for r in answer.get("reasons", ()))
    return measured(ServiceInstance(service, url, "", health.is_success, reasons), metrics.text)


def measured(instance: ServiceInstance, text: str) -> ServiceInstance:
    """With what its metrics say (docs/metrics.md). Others than those that are shown are not parsed."""
    values: dict[str, float] = {}
    version, circuits = "", {}
    wanted = "\n".join(found[0] for found in MEASURED.finditer(text)) + "\n"
    for sample in (s for family in text_string_to_metric_families(wanted) for s in family.samples):
        if sample.name == "saga_build_info":
            version = sample.labels["version"]
        elif sample.name == "saga_circuit_state":
            circuits[sample.labels["provider"]] = CIRCUITS.get(sample.value, "unknown")
        else:
            values[sample.name] = sample.value
    lag, lag_s = values.get("saga_consumer_lag_records"), values.get("saga_consumer_lag_seconds")
    return ServiceInstance(
        instance.service,
        instance.url,
        is_ready=instance.is_ready,
        reasons=instance.reasons,
        version=version,
        since=_instant(values.get("process_start_time_seconds")),
        lag=None if lag is None or lag != lag else int(lag),  # noqa: PLR0124 - NaN is not itself
        lag_s=None if lag_s is None or lag_s != lag_s else lag_s,  # noqa: PLR0124
        outbox_rows=int(values.get("saga_outbox_rows", 0)),
        outbox_oldest_s=values.get("saga_outbox_oldest_seconds", 0.0),
        parked_keys=int(values.get("saga_parked_keys", 0)),
        parked_messages=int(values.get("saga_parked_messages", 0)),
        circuits=circuits,
    )


def _instant(seconds: float | None) -> datetime | None:
    """Of a Unix time; None where a platform does not say it."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def versions(instances: Iterable[ServiceInstance]) -> Mapping[str, Sequence[str]]:
    """Of each service the versions that its processes run: two of them while it is deployed."""
    found: dict[str, set[str]] = {}
    for each in instances:
        if each.version:
            found.setdefault(each.service, set()).add(each.version)
    return {service: sorted(names) for service, names in found.items()}


def _body(service: str, answer: httpx.Response) -> Any:
    try:
        body = answer.json()
    except ValueError:
        why = f"{service} answers {answer.status_code} without JSON"
        raise NoAnswerError(answer.status_code, why) from None
    if answer.is_success:
        return body
    problem = body if isinstance(body, dict) else {}
    why = f"{service}: {problem.get('detail') or answer.status_code}"
    raise NoAnswerError(answer.status_code, why, str(problem.get("code", "")))


def now() -> datetime:
    """The present, for ages that a page shows."""
    return clock.now()
