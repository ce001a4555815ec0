"""The services of the system, by their manifests, in the order in which an order passes them."""

from importlib import import_module
from typing import Final

from chassis.manifest import Manifest
from shared_events.owners import OWNERS


def _manifest_of(name: str) -> Manifest:
    found: Manifest = import_module(f"{name}_svc.manifest").MANIFEST
    return found


SERVICES: Final = tuple(map(_manifest_of, OWNERS))
BY_NAME: Final = {manifest.name: manifest for manifest in SERVICES}
WITH_DATABASE: Final = {m.name: m for m in SERVICES if m.has_database}
"""Services that keep their state in PostgreSQL, by name."""
