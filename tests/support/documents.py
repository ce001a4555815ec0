"""What each service says of its HTTP API, without a server."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final

from fastapi import FastAPI

from chassis.bus import Bus
from chassis.http import Gate, GuardedRoute
from chassis.process.fast_paths import Core
from chassis.process.settings import ALL_FAST_PATHS
from saga_cli.topology import BY_NAME
from tests.support.callers import open_gate

STARTED_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


def document_of(service: str) -> dict[str, Any]:
    """The OpenAPI document of a service with all of its routes."""
    return application_of(service).openapi()


def application_of(service: str, gate: Gate | None = None) -> FastAPI:
    """A service's application with all of its routes, behind which there is nothing."""
    module = BY_NAME[service].module
    declaration = import_module(f"{module}.service").SERVICE
    absent: Any = None
    core = Core(Bus(), absent, absent, absent, ALL_FAST_PATHS)
    node = SimpleNamespace(
        service=declaration,
        conditions=None,
        operations=None,
        commands=None,
        core=core,
        extras={},
        stopping=None,
        started_at=STARTED_AT,
        gate=gate or open_gate(service),
    )
    stripe = SimpleNamespace(webhook_secrets=())
    settings = SimpleNamespace(
        slow_above_s=1.0,
        send_every_ms=0,
        provider="stripe",
        stripe=stripe,
        event_streams_max=10,
        example_page=False,
    )
    more: dict[str, tuple[Any, ...]] = {
        "order": (settings,),
        "inventory": (None,),
        "payment": (settings,),
    }
    made: FastAPI = import_module(f"{module}.api").make(node, None, *more.get(service, ()))
    return made


def guarded(app: FastAPI) -> Iterator[tuple[str, str, GuardedRoute]]:
    """Each operation of an application: method, path and route, those of its routers too."""
    for route in app.routes:
        included: Any = getattr(route, "effective_route_contexts", tuple)()
        for found, path in ((each.original_route, each.path) for each in included):
            yield from ((method, path, found) for method in sorted(found.methods))
        if isinstance(route, GuardedRoute):
            yield from ((method, route.path, route) for method in sorted(route.methods or ()))
