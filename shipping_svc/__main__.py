"""python -m shipping_svc: one process of the shipping service, or with `migrate` its migrations alone."""

from chassis.postgres import PostgresDatabase, PostgresInspection, PostgresStore, migrations
from chassis.process import program, runtime
from chassis.service import Provider
from shipping_svc import api
from shipping_svc.carrier import SimulatedCarrier, with_postal_code
from shipping_svc.manifest import MANIFEST
from shipping_svc.service import with_policy
from shipping_svc.settings import Settings
from shipping_svc.store import DELIVERY_DETAILS, SHIPMENTS


async def migrate(settings: Settings) -> PostgresDatabase:
    return await migrations.migrated(runtime.migrations_of(__file__), settings)


async def serve(settings: Settings) -> None:
    database = await migrate(settings)
    service = with_policy(settings.policy)
    store = await PostgresStore.connect(service, SHIPMENTS, None, database, **settings.kept)
    carrier = SimulatedCarrier(settings.carrier_script)
    provider = Provider(
        "carrier",
        {
            "Book": with_postal_code(carrier.book, store.looking_up(DELIVERY_DETAILS)),
            "HandOver": carrier.hand_over,
            "CancelBooking": carrier.cancel,
        },
        settings.provider_concurrency,
        settings.provider_timeout_s,
    )
    node = runtime.assemble(service, settings, store, PostgresInspection(store), provider)
    await runtime.run(node, api.make(node, store))


def main() -> None:
    program.begin(MANIFEST, Settings, serve, migrate)


if __name__ == "__main__":
    main()
