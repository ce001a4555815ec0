"""python -m inventory_svc: one process of the inventory service."""

from redis.asyncio import Redis

from chassis.postgres import PostgresInspection, PostgresStore, migrations
from chassis.process import runtime
from inventory_svc import api
from inventory_svc.availability import Availability
from inventory_svc.service import SERVICE
from inventory_svc.settings import Settings
from inventory_svc.store import RESERVATIONS, STOCK


async def serve(settings: Settings) -> None:
    await migrations.migrate(runtime.migrations_of(__file__), settings.database_url.read())
    store = await PostgresStore.connect(
        SERVICE, RESERVATIONS, STOCK, settings.database_url.read(), **settings.kept
    )
    redis = Redis.from_url(settings.redis_url.read(), socket_timeout=2)
    availability = Availability(store, redis)
    node = runtime.assemble(SERVICE, settings, store, PostgresInspection(store))
    node.core.bus.committed.append(availability.committed)
    node.extras["availability"] = availability.run
    node.health.watch("cache_away", lambda: availability.failing)
    await runtime.run(node, api.make(node, store, availability))
    await redis.aclose()


def main() -> None:
    runtime.start(Settings, "inventory", serve)


if __name__ == "__main__":
    main()
