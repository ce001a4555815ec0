"""python -m order_svc: one process of the order service, or with `migrate` its migrations alone."""

from functools import partial

from chassis.postgres import PostgresDatabase, PostgresInspection, PostgresStore, migrations
from chassis.process import program, runtime
from order_svc import api
from order_svc.manifest import MANIFEST
from order_svc.measures import OrderMeasures
from order_svc.service import SERVICE
from order_svc.settings import Settings
from order_svc.store import ORDERS, PRODUCTS


async def migrate(settings: Settings) -> PostgresDatabase:
    return await migrations.migrated(runtime.migrations_of(__file__), settings)


async def serve(settings: Settings) -> None:
    database = await migrate(settings)
    store = await PostgresStore.connect(SERVICE, ORDERS, PRODUCTS, database, **settings.kept)
    node = runtime.assemble(SERVICE, settings, store, PostgresInspection(store))
    if settings.acknowledge == "published":
        node.relay.acknowledge_every_s = 0  # customers wait for it
    measures = OrderMeasures()
    node.core.bus.committed.append(measures.committed)
    node.measures.append(partial(measures.look, store))
    await runtime.run(node, api.make(node, store, settings))


def main() -> None:
    program.begin(MANIFEST, Settings, serve, migrate)


if __name__ == "__main__":
    main()
