"""python -m payment_svc: one process of the payment service, or with `migrate` its migrations alone."""

from chassis.postgres import PostgresDatabase, PostgresInspection, PostgresStore, migrations
from chassis.process import program, runtime
from chassis.service import Provider
from payment_svc import api
from payment_svc.manifest import MANIFEST
from payment_svc.provider import PaymentProvider, SimulatedProvider, with_token
from payment_svc.service import with_policy
from payment_svc.settings import Settings
from payment_svc.store import PAYMENT_DETAILS, PAYMENTS


async def migrate(settings: Settings) -> PostgresDatabase:
    return await migrations.migrated(runtime.migrations_of(__file__), settings)


async def serve(settings: Settings) -> None:
    database = await migrate(settings)
    service = with_policy(settings.policy)
    store = await PostgresStore.connect(service, PAYMENTS, None, database, **settings.kept)
    outside = provider_of(settings)
    provider = Provider(
        settings.provider,
        {
            "Capture": with_token(outside.capture, store.looking_up(PAYMENT_DETAILS)),
            "Refund": outside.refund,
        },
        settings.provider_concurrency,
        settings.provider_timeout_s,
    )
    node = runtime.assemble(service, settings, store, PostgresInspection(store), provider)
    try:
        await runtime.run(node, api.make(node, store, settings))
    finally:
        await outside.close()


def provider_of(settings: Settings) -> PaymentProvider:
    if settings.provider == "simulated":
        return SimulatedProvider()
    from payment_svc.stripe_provider import StripeProvider  # noqa: PLC0415 - half a second to load

    return StripeProvider.connect(settings.stripe, settings.provider_timeout_s)


def main() -> None:
    program.begin(MANIFEST, Settings, serve, migrate)


if __name__ == "__main__":
    main()
