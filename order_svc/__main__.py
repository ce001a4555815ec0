"""python -m order_svc: one process of the order service."""

from chassis.postgres import PostgresInspection, PostgresStore, migrations
from chassis.process import runtime
from order_svc import api
from order_svc.service import SERVICE
from order_svc.settings import Settings
from order_svc.store import ORDERS, PRODUCTS


async def serve(settings: Settings) -> None:
    await migrations.migrate(runtime.migrations_of(__file__), settings.database_url.read())
    store = await PostgresStore.connect(
        SERVICE, ORDERS, PRODUCTS, settings.database_url.read(), **settings.kept
    )
    node = runtime.assemble(SERVICE, settings, store, PostgresInspection(store))
    if settings.acknowledge == "published":
        node.relay.acknowledge_every_s = 0  # customers wait for it
    await runtime.run(node, api.make(node, store, settings))


def main() -> None:
    runtime.start(Settings, "order", serve)


if __name__ == "__main__":
    main()
