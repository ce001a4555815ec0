"""How a process lets callers in, as its settings say; and what of its HTTP is on which port."""

from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.auth import IssuerKeys, JwksSource, JwtVerifier
from chassis.health import Health
from chassis.http import Gate, rate_limits
from chassis.process.settings import ProcessSettings

PAGES: Final = ("/docs", "/redoc", "/openapi.json", "/metrics", "/version")
"""What is for people and monitoring, and describes the service to whoever reads it."""
HEALTH: Final = "/health/"
NOWHERE: Final = "/not-on-this-port"
"""A path that no application has: it is answered as any other that is not there."""


def gate_of(service: str, settings: ProcessSettings) -> tuple[Gate, IssuerKeys | None]:
    """With the keys of the issuer, None where callers are not asked who they are."""
    verifier = None
    if settings.auth == "jwt" and settings.auth_issuer is not None:
        is_production = settings.profile == "production"
        source = JwksSource(settings.auth_issuer, settings.auth_jwks_url or "", is_production)
        verifier = JwtVerifier(
            settings.auth_issuer,
            settings.auth_audience,
            IssuerKeys(source),
            settings.auth_clock_skew_s,
            settings.auth_subject_claim,
        )
    gate = Gate(service, verifier, **rate_limits(settings), trusted=settings.http_trusted)
    return gate, verifier.keys if verifier else None


def watch_issuer(health: Health, keys: IssuerKeys) -> None:
    """Without any key nobody can be let in; with those that are known the service goes on."""

    def missing() -> str:
        return (keys.failing or "its keys are not known yet") if keys.are_missing else ""

    health.watch("issuer_unknown", missing, blocking=True)
    health.watch("issuer_away", lambda: "" if keys.are_missing else keys.failing)


@dataclass(frozen=True, slots=True)
class OnlyPages:
    """An application without its PAGES, or with nothing but these and health."""

    app: ASGIApp
    pages: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            is_page = path.startswith(PAGES)
            if is_page is not self.pages and not path.startswith(HEALTH):
                scope = {**scope, "path": NOWHERE, "raw_path": NOWHERE.encode()}
        await self.app(scope, receive, send)
