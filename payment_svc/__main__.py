"""python -m payment_svc: one process of the payment service."""

from chassis import migrations, runtime
from chassis.postgres import PostgresStore
from chassis.postgres_operations import PostgresOperations
from chassis.service import Provider
from payment_svc import api
from payment_svc.provider import SimulatedProvider
from payment_svc.service import SERVICE
from payment_svc.settings import Settings
from payment_svc.store import PAYMENTS


async def serve(settings: Settings) -> None:
    await migrations.migrate(runtime.migrations_of(__file__), settings.database_url)
    store = await PostgresStore.connect(SERVICE, PAYMENTS, None, settings.database_url)
    simulated = SimulatedProvider()
    provider = Provider(
        "simulated",
        {"Capture": simulated.capture, "Refund": simulated.refund},
        settings.provider_concurrency,
        settings.provider_timeout_s,
    )
    node = runtime.assemble(SERVICE, settings, store, PostgresOperations(store), provider)
    await runtime.run(node, api.make(node, store))


def main() -> None:
    runtime.start(Settings, "payment", serve)


if __name__ == "__main__":
    main()
