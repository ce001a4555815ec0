"""The gate of an application: whoever asks shows a token, has the scope, and keeps to the rate."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Final

import structlog
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import Scope

from chassis.auth import Caller, InvalidTokenError, KeysAwayError, Verifier
from chassis.http.access import Access, Granted
from chassis.http.connections import origin_of
from chassis.http.problems import Problem
from chassis.http.rates import RateLimit, Standing
from chassis.metrics import AUTH_OFF, AUTH_REFUSED
from chassis.process.settings import AccessSettings

log = structlog.get_logger()
STANDING: Final = "chassis.standing"  # in a request's scope
REALM: Final = 'Bearer realm="saga"'
EXPOSED: Final = (
    *("Allow", "Idempotency-Replayed", "Location", "Preference-Applied", "RateLimit"),
    *("RateLimit-Policy", "Retry-After", "WWW-Authenticate"),
)
NOBODY: Final = Granted(None)


@dataclass
class Gate:
    """`verifier` is None where nobody is asked who they are (`X_AUTH=off`)."""

    service: str
    verifier: Verifier | None
    per_subject: RateLimit | None = None
    per_address: RateLimit | None = None
    trusted: tuple[IPv4Network | IPv6Network, ...] = field(default=())

    def report(self) -> None:
        """A process that starts with an open gate says so, loudly."""
        AUTH_OFF.labels(self.service).set(self.verifier is None)
        if self.verifier is None:
            why = "whoever reaches the port may do anything but what operators do"
            log.warning("auth_off", setting=f"{self.service.upper()}_AUTH=off", why=why)

    async def admit(self, access: Access, scope: Scope) -> Granted:
        """Raises Problem: 401 (RFC 6750), 403, 429, or 503 while tokens can't be verified."""
        if access.is_public:
            return NOBODY
        self._count_address(scope)
        if self.verifier is None:
            if access.needs_caller:
                why = f"{self.service.upper()}_AUTH is off, and it is recorded who does this"
                raise self._refused(Problem(403, "operator_api_off", why))
            return NOBODY
        caller = await self._caller(self.verifier, scope)
        if self.per_subject is not None:
            scope[STANDING] = self.per_subject.take(caller.subject)
        if not caller.scopes.isdisjoint(access.every):
            return Granted(caller)
        if not caller.scopes.isdisjoint(access.own):
            return Granted(caller, restricted=True)
        raise self._refused(_insufficient(access))

    def _count_address(self, scope: Scope) -> None:
        if self.per_address is not None and (client := scope.get("client")):
            origin = origin_of(client[0], self.trusted)
            if origin:
                scope[STANDING] = self.per_address.take(origin)

    async def _caller(self, verifier: Verifier, scope: Scope) -> Caller:
        given = [raw for name, raw in scope["headers"] if name == b"authorization"]
        if len(given) > 1:
            why = "Authorization is given more than once"
            raise self._refused(Problem(400, "repeated_header", why, _asking("invalid_request")))
        scheme, _, token = (given[0].decode("latin-1") if given else "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            why = "give an access token: Authorization: Bearer TOKEN"
            raise self._refused(Problem(401, "token_missing", why, {"WWW-Authenticate": REALM}))
        if (caller := verifier.known(token)) is not None:
            return caller
        try:
            return await verifier.verify(token)
        except InvalidTokenError as error:
            why = f"the access token counts for nothing: {error}"
            asking = _asking("invalid_token", why)
            raise self._refused(Problem(401, "invalid_token", why, asking)) from None
        except KeysAwayError:
            why = "tokens can't be verified now: their issuer does not answer"
            raise self._refused(Problem(503, "issuer_away", why)) from None

    def _refused(self, refusal: Problem) -> Problem:
        AUTH_REFUSED.labels(self.service, refusal.code).inc()
        return refusal


def _insufficient(access: Access) -> Problem:
    needed = " or ".join(access.scopes)
    why = f"the access token has not the scope {needed}"
    asking = _asking("insufficient_scope", why, scope=access.scopes[0])
    return Problem(403, "insufficient_scope", why, asking)


def _asking(error: str, why: str = "", **more: str) -> dict[str, str]:
    """The challenge (RFC 6750, section 3)."""
    attributes = {"error": error, **({"error_description": why} if why else {}), **more}
    return {"WWW-Authenticate": ", ".join((REALM, *(f'{n}="{v}"' for n, v in attributes.items())))}


def rate_limits(settings: AccessSettings) -> dict[str, RateLimit | None]:
    """As a Gate takes them."""
    rates = {"subject": settings.http_rate_per_subject, "address": settings.http_rate_per_address}
    return {
        f"per_{party}": RateLimit(party, rate) if rate else None for party, rate in rates.items()
    }


def allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins call it (CORS); without any the browser lets none."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PUT"],
            allow_headers=[
                *("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer"),
            ],
            expose_headers=EXPOSED,
        )


def rate_headers(scope: Scope) -> dict[str, str]:
    """What a response says of the rate that its request was counted for."""
    standing = scope.get(STANDING)
    return standing.headers if isinstance(standing, Standing) else {}
