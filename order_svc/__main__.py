"""python -m order_svc: one process of the order service."""

from chassis import migrations, runtime
from chassis.postgres import PostgresStore
from chassis.postgres_operations import PostgresOperations
from order_svc import api
from order_svc.service import SERVICE
from order_svc.settings import Settings
from order_svc.store import ORDERS, PRODUCTS
from order_svc.waiting import Waiting


async def serve(settings: Settings) -> None:
    await migrations.migrate(runtime.migrations_of(__file__), settings.database_url)
    store = await PostgresStore.connect(
        SERVICE, ORDERS, PRODUCTS, settings.database_url, keep_days=settings.outbox_keep_days
    )
    waiting = Waiting()
    store.on_commit.append(waiting.told)
    node = runtime.assemble(SERVICE, settings, store, PostgresOperations(store))
    await runtime.run(node, api.make(node, store, settings, waiting))


def main() -> None:
    runtime.start(Settings, "order", serve)


if __name__ == "__main__":
    main()
