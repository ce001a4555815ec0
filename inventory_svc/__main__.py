"""python -m inventory_svc: one process of the inventory service, or with `migrate` its migrations alone."""

from chassis.postgres import PostgresDatabase, PostgresInspection, PostgresStore, migrations
from chassis.process import program, runtime
from chassis.redis import RedisDatabase
from inventory_svc import api
from inventory_svc.availability import Availability
from inventory_svc.manifest import MANIFEST
from inventory_svc.service import SERVICE
from inventory_svc.settings import Settings
from inventory_svc.store import RESERVATIONS, STOCK


async def migrate(settings: Settings) -> PostgresDatabase:
    return await migrations.migrated(runtime.migrations_of(__file__), settings)


async def serve(settings: Settings) -> None:
    database = await migrate(settings)
    store = await PostgresStore.connect(SERVICE, RESERVATIONS, STOCK, database, **settings.kept)
    cache = RedisDatabase.of(settings)
    redis = cache.client(socket_timeout=2)
    availability = Availability(store, redis, cache)
    node = runtime.assemble(SERVICE, settings, store, PostgresInspection(store))
    node.core.bus.committed.append(availability.committed)
    node.extras["availability"] = availability.run
    node.health.watch("cache_away", lambda: availability.failing)
    await runtime.run(node, api.make(node, store, availability))
    await redis.aclose()


def main() -> None:
    program.begin(MANIFEST, Settings, serve, migrate)


if __name__ == "__main__":
    main()
