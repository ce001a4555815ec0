"""The order service, as it is known from outside."""

from typing import Final

from chassis.manifest import Manifest

MANIFEST: Final = Manifest(
    name="order",
    version="0.3.0-dev",
    port=8001,
    table="orders",
    timers={"Pending": "DeadlinePassed"},
    final={"Cancelled": "order.cancelled.v1"},
    counter="revision",
)
