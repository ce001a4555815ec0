"""The inventory service, as it is known from outside."""

from typing import Final

from chassis.manifest import Manifest

MANIFEST: Final = Manifest(
    name="inventory",
    version="0.3.0-dev",
    port=8002,
    table="reservations",
    redis_database=1,
    redis_keys="availability:",
    final={
        "Shipped": "stock.shipped.v1",
        "Released": "stock.released.v1",
        "Rejected": "stock.rejected.v1",
    },
    counter="receipts",
)
