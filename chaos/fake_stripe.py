"""Our own Stripe, on loopback: its documented idempotency, faults by script, signed webhooks.

localstripe knows no Idempotency-Key; this one is there for what becomes of a call that is asked
again. Its books say what money really moved, whatever it answered.
"""

import asyncio
import hashlib
import hmac
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chaos.stripe_books import Form, StripeBooks, StripeRefusalError, Thing, invalid
from chassis.tls import PLAIN

KEY_LIVES_S: Final = 24 * 3600
API_KEY: Final = "sk_test_fake"
SECRET: Final = "whsec_fake"  # noqa: S105 - of nothing
ApiCall = Literal["create", "confirm", "capture", "cancel", "refund"]
FaultAnswer = Literal["ok", "rate_limit", "server_error", "timeout", "reset"]


@dataclass(frozen=True, slots=True)
class StripeFault:
    """What the caller sees of one call, and whether the call takes effect."""

    answer: FaultAnswer
    effect: bool


@dataclass
class Stored:
    """What a key remembers of its first call: path and form, and the answer once there is one."""

    call: tuple[str, Form]
    at: float
    status: int = 0
    body: Thing = field(default_factory=dict)


@dataclass
class FakeStripe:
    """`script` has the faults of the next calls of a step; `chaos` makes them up for all others.

    `webhooks` are addresses, one of which gets each event at once, and again.
    """

    books: StripeBooks = field(default_factory=StripeBooks)
    api_key: str = API_KEY
    hang_s: float = 3.0
    script: dict[ApiCall, list[StripeFault]] = field(default_factory=dict)
    chaos: random.Random | None = None
    chaos_rate: float = 0.1
    webhooks: list[str] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)  # (step, idempotency key)
    faults: list[tuple[str, StripeFault]] = field(default_factory=list)  # those that were met
    url: str = ""
    _keys: dict[str, Stored] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def app(self) -> Starlette:
        books, post, get = self.books, ["POST"], ["GET"]
        intents, one = "/v1/payment_intents", "/v1/payment_intents/{id}"
        routes = [
            Route(intents, self._step("create", books.create_intent), methods=post),
            Route(intents, self._list_intents, methods=get),
            Route(f"{intents}/search", self._search, methods=get),
            Route(one, _get(books.intent), methods=get),
            Route(f"{one}/confirm", self._step("confirm", books.confirm), methods=post),
            Route(f"{one}/capture", self._step("capture", books.capture), methods=post),
            Route(f"{one}/cancel", self._step("cancel", books.cancel), methods=post),
            Route("/v1/refunds", self._step("refund", books.create_refund), methods=post),
            Route("/v1/refunds", self._list_refunds, methods=get),
            Route("/v1/refunds/{id}", _get(books.refund), methods=get),
        ]
        return Starlette(routes=routes)

    def pass_time(self, seconds: float) -> None:
        """All that it knows is that much older; it forgets keys after a day."""
        self.books.grow_older(seconds)
        for stored in self._keys.values():
            stored.at -= seconds

    @property
    def in_flight(self) -> bool:
        return any(not stored.status for stored in self._keys.values())

    def _step(self, step: ApiCall, act: Callable[[Form], Thing]) -> Any:
        async def called(request: Request) -> Response:
            form = dict(parse_qsl((await request.body()).decode())) | request.path_params
            key = request.headers.get("idempotency-key", "")
            self.calls.append((step, key))
            if request.headers.get("authorization") != f"Bearer {self.api_key}":
                return _refused(StripeRefusalError(401, "invalid_request_error", "api_key_invalid"))
            before, call = len(self.books.events), (request.url.path, form)
            try:
                return await self._answered(step, key, call, partial(act, form))
            finally:
                self._send(self.books.events[before:])

        return called

    async def _answered(
        self, step: ApiCall, key: str, call: tuple[str, Form], act: Callable[[], Thing]
    ) -> Response:
        """What the key remembers goes before any fault."""
        stored = self._keys.get(key)
        if stored is not None and time.time() - stored.at < KEY_LIVES_S:
            return _replayed(stored, call)
        fault = self._fault(step)
        if not fault.effect and fault.answer in {"rate_limit", "timeout", "reset"}:
            return await self._shown(fault, {}, 200)  # it never began
        stored = self._keys[key] = Stored(call, time.time())
        if fault.answer == "timeout":
            await asyncio.sleep(self.hang_s / 2)  # in flight, and asked for again meanwhile
        body, status = self._executed(key, act) if fault.effect else ({}, 200)
        if fault.answer == "server_error":
            body, status = {"error": {"type": "api_error", "message": "it broke"}}, 500
        stored.status, stored.body = status, deepcopy(body)
        return await self._shown(fault, stored.body, status)

    def _executed(self, key: str, act: Callable[[], Thing]) -> tuple[Thing, int]:
        try:
            return act(), 200
        except StripeRefusalError as refusal:
            if not refusal.stored:
                del self._keys[key]
            return {"error": refusal.error}, refusal.status

    async def _shown(self, fault: StripeFault, body: dict[str, Any], status: int) -> Response:
        if fault.answer == "rate_limit":
            refusal = StripeRefusalError(429, "rate_limit_error", "rate_limit")
            return _refused(refusal, {"retry-after": "1"})
        if fault.answer == "reset":
            return Response(headers={"content-length": "100"})  # it ends before that
        if fault.answer == "timeout":
            await asyncio.sleep(self.hang_s)
        return JSONResponse(body, status)

    def _fault(self, step: ApiCall) -> StripeFault:
        planned = self.script.get(step)
        fault = StripeFault("ok", effect=True)
        if planned:
            fault = planned.pop(0)
        elif self.chaos is not None and self.chaos.random() < self.chaos_rate:
            answers: list[FaultAnswer] = ["rate_limit", "server_error", "timeout", "reset"]
            fault = StripeFault(self.chaos.choice(answers), effect=self.chaos.random() < 1 / 2)
        if fault.answer != "ok":
            self.faults.append((step, fault))
        return fault

    async def _list_intents(self, request: Request) -> Response:
        since = int(request.query_params.get("created[gte]", 0))
        things = [i for i in self.books.intents.values() if i["created"] >= since]
        return _page(request, things)

    async def _search(self, request: Request) -> Response:
        effect = request.query_params["query"].removeprefix("metadata['effect']:'").rstrip("'")
        found = [i for i in self.books.intents.values() if i["metadata"].get("effect") == effect]
        body = {"object": "search_result", "data": found, "has_more": False, "url": ""}
        return JSONResponse(body)

    async def _list_refunds(self, request: Request) -> Response:
        intent = request.query_params.get("payment_intent")
        things = [r for r in self.books.refunds.values() if r["payment_intent"] == intent]
        return _page(request, things)

    def _send(self, events: list[Thing]) -> None:
        for event in events if self.webhooks else ():
            url = self.webhooks[len(self.calls) % len(self.webhooks)]
            task = asyncio.get_running_loop().create_task(_deliver(url, event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


def signed(
    event: Thing | str, secret: str = SECRET, age_s: float = 0
) -> tuple[bytes, dict[str, str]]:
    """An event's body and headers as Stripe sends them; text is signed as it is."""
    body = (event if isinstance(event, str) else json.dumps(event)).encode()
    at = int(time.time() - age_s)
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {"stripe-signature": f"t={at},v1={mac}", "content-type": "application/json"}


async def _deliver(url: str, event: Thing) -> None:
    """Stripe tries for days; here the service has to make up for one that is lost."""
    body, headers = signed(event)
    try:
        async with httpx.AsyncClient(timeout=5, verify=PLAIN) as client:
            for _ in range(2):
                await client.post(url, content=body, headers=headers)
    except httpx.TransportError:
        return


def _get(look_up: Callable[[str], Thing]) -> Any:
    async def found(request: Request) -> Response:
        try:
            return JSONResponse(look_up(request.path_params["id"]))
        except StripeRefusalError as refusal:
            return _refused(refusal)

    return found


def _replayed(stored: Stored, call: tuple[str, Form]) -> Response:
    if stored.call != call:
        return _refused(StripeRefusalError(400, "idempotency_error", None))
    if not stored.status:
        return _refused(StripeRefusalError(409, "idempotency_error", "idempotency_key_in_use"))
    return JSONResponse(stored.body, stored.status, {"idempotent-replayed": "true"})


def _refused(refusal: StripeRefusalError, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": refusal.error}, refusal.status, headers)


def _page(request: Request, things: list[Thing]) -> Response:
    """Newest first, by pages."""
    ordered = sorted(things, key=lambda t: (t["created"], t["id"]), reverse=True)
    if after := request.query_params.get("starting_after"):
        at = next((n for n, t in enumerate(ordered) if t["id"] == after), None)
        if at is None:
            return _refused(invalid("resource_missing", param="starting_after"))
        ordered = ordered[at + 1 :]
    limit = int(request.query_params.get("limit", 10))
    body = {
        "object": "list",
        "data": ordered[:limit],
        "has_more": len(ordered) > limit,
        "url": request.url.path,
    }
    return JSONResponse(body)


@contextmanager
def fake_stripe(**settings: Any) -> Iterator[FakeStripe]:
    """In a thread of its own, on a free port of loopback."""
    fake, listening = FakeStripe(**settings), socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(100)  # from now on a caller waits, rather than being refused
    config = uvicorn.Config(fake.app(), log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        yield fake
    finally:
        server.force_exit = server.should_exit = True
        thread.join(10)
        listening.close()
