"""python -m order_svc: one process of the order service."""

from chassis import migrations, runtime
from chassis.postgres import PostgresStore
from chassis.postgres_operations import PostgresOperations
from order_svc import api
from order_svc.service import SERVICE
from order_svc.settings import Settings
from order_svc.store import ORDERS, PRODUCTS
from order_svc.waiting import LocalWaiters, settled_orders


async def serve(settings: Settings) -> None:
    await migrations.migrate(runtime.migrations_of(__file__), settings.database_url)
    store = await PostgresStore.connect(
        SERVICE, ORDERS, PRODUCTS, settings.database_url, **settings.kept
    )
    settled, published = LocalWaiters(), LocalWaiters()
    store.on_commit.append(lambda work, states: settled.notify(settled_orders(work, states)))
    node = runtime.assemble(SERVICE, settings, store, PostgresOperations(store))
    node.relay.on_published.append(lambda rows: published.notify(row.key for row in rows))
    if settings.acknowledge == "published":
        node.relay.acknowledge_every_s = 0  # customers wait for it
    await runtime.run(node, api.make(node, store, settings, settled, published))


def main() -> None:
    runtime.start(Settings, "order", serve)


if __name__ == "__main__":
    main()
