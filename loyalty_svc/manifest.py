"""The loyalty service, as it is known from outside."""

from typing import Final

from chassis.manifest import Manifest

MANIFEST: Final = Manifest(
    name="loyalty",
    version="0.3.0-dev",
    port=8005,
    redis_database=0,
    redis_keys="loyalty:",
    final={"Rejected": "points.rejected.v1"},
    counter="changes",
)
