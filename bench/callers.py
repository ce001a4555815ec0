"""What it costs to know a caller, in CPU a request: `python -m bench.callers`.

One process, no server and no store: requests go through the application of a service to a route with the
fast path, which answers at once. Rounds of all ways take turns, and the least of each counts.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final, cast

from fastapi import FastAPI, Request, Response
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from chassis import clock
from chassis.auth import SERVICE, IssuerKeys, JwtVerifier, Verifier
from chassis.http import Access, Body, Gate, add_fast_path, app_of, granted, open_to

REQUESTS: Final = 2_000
ROUNDS: Final = 7
ISSUER: Final = "https://issuer.example.com"
KEYS: Final[dict[str, Key]] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "RS256"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ES256"}),
}


class Cart(Body):
    customer_id: str
    quantity: int


class Forgetful:
    """A verifier that verifies each request's token, as if it came for the first time."""

    def __init__(self, verifier: JwtVerifier) -> None:
        self.verify = verifier.verify

    def known(self, _token: str) -> None:
        """None is."""


def application(verifier: Verifier | None) -> FastAPI:
    """As a service makes it, with one route of its own."""

    async def conditions() -> tuple[Any, ...]:
        return ()

    node = SimpleNamespace(
        service=SimpleNamespace(name="order"),
        operations=None,
        conditions=conditions,
        gate=Gate("order", verifier),
    )
    app = app_of(cast("Any", node), "", {})

    @app.post("/checkout", tags=["orders"])
    @open_to(Access(own={"orders"}, every={SERVICE}))
    async def checkout(request: Request, body: Cart) -> Response:
        return Response(body.customer_id + granted(request).subject)

    add_fast_path(app, "/checkout")
    return app


async def cpu_us(app: FastAPI, token: str) -> float:
    """Of a request."""
    body = b'{"customer_id": "alice", "quantity": 1}'
    headers = [(b"host", b"order"), (b"content-type", b"application/json")]
    headers += [(b"authorization", f"Bearer {token}".encode())] if token else []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message  # noqa: PLR2004 - nothing is refused here

    begun = time.process_time()
    for _ in range(REQUESTS):
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/checkout",
            "raw_path": b"/checkout",
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8001),
        }
        await app(scope, receive, send)
    return (time.process_time() - begun) / REQUESTS * 1e6


def ways() -> dict[str, tuple[FastAPI, str]]:
    """An application and the token that is shown to it, by name."""

    async def fetched() -> dict[str, Key]:
        return KEYS

    made: dict[str, tuple[FastAPI, str]] = {"X_AUTH=off": (application(None), "")}
    times = {"exp": int(clock.now().timestamp()) + 3600}
    for name, key in KEYS.items():
        claims = {"iss": ISSUER, "aud": "saga", "sub": "alice", "scope": "orders", **times}
        token = jwt.encode({"alg": name, "kid": name, "typ": "at+jwt"}, claims, key)
        verifier = JwtVerifier(ISSUER, "saga", IssuerKeys(fetched))
        made[f"{name}, known"] = (application(verifier), token)
        made[f"{name}, verified each time"] = (application(Forgetful(verifier)), token)
    return made


async def measured(
    found: dict[str, tuple[FastAPI, str]],
    measure: Callable[[FastAPI, str], Awaitable[float]] = cpu_us,
) -> dict[str, float]:
    """Microseconds by way."""
    least = dict.fromkeys(found, float("inf"))
    for _ in range(ROUNDS):
        for name, (app, token) in found.items():
            least[name] = min(least[name], await measure(app, token))
    return least


def main() -> None:
    found = asyncio.run(measured(ways()))
    nothing = found["X_AUTH=off"]
    for name, spent in found.items():
        print(f"{name:28} {spent:7.1f} us  {spent - nothing:+7.1f}")


if __name__ == "__main__":
    main()
