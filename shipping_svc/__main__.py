"""python -m shipping_svc: one process of the shipping service."""

from chassis import migrations, runtime
from chassis.postgres import PostgresStore
from chassis.postgres_operations import PostgresOperations
from shipping_svc import api
from shipping_svc.service import SERVICE
from shipping_svc.settings import Settings
from shipping_svc.store import SHIPMENTS


async def serve(settings: Settings) -> None:
    await migrations.migrate(runtime.migrations_of(__file__), settings.database_url)
    store = await PostgresStore.connect(SERVICE, SHIPMENTS, None, settings.database_url)
    node = runtime.assemble(SERVICE, settings, store, PostgresOperations(store))
    await runtime.run(node, api.make(node, store))


def main() -> None:
    runtime.start(Settings, "shipping", serve)


if __name__ == "__main__":
    main()
