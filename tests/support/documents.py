"""What each service says of its HTTP API, without a server."""

from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

from chassis.bus import Bus
from chassis.process.fast_paths import Core
from chassis.process.settings import ALL_FAST_PATHS
from saga_cli.topology import BY_NAME


def document_of(service: str) -> dict[str, Any]:
    """The OpenAPI document of a service with all of its routes."""
    module = BY_NAME[service].module
    declaration = import_module(f"{module}.service").SERVICE
    absent: Any = None
    core = Core(Bus(), absent, absent, absent, ALL_FAST_PATHS)
    node = SimpleNamespace(
        service=declaration, conditions=None, operations=None, commands=None, core=core
    )
    stripe = SimpleNamespace(webhook_secrets=())
    settings = SimpleNamespace(slow_above_s=1.0, provider="stripe", stripe=stripe)
    more: dict[str, tuple[Any, ...]] = {
        "order": (settings,),
        "inventory": (None,),
        "payment": (settings,),
    }
    made = import_module(f"{module}.api").make(node, None, *more.get(service, ()))
    return cast("dict[str, Any]", made.openapi())
