"""python -m payment_svc: one process of the payment service."""

from chassis.postgres import PostgresInspection, PostgresStore, migrations
from chassis.process import runtime
from chassis.service import Provider
from payment_svc import api
from payment_svc.provider import PaymentProvider, SimulatedProvider
from payment_svc.service import with_policy
from payment_svc.settings import Settings
from payment_svc.store import PAYMENTS


async def serve(settings: Settings) -> None:
    await migrations.migrate(runtime.migrations_of(__file__), settings.database_url.read())
    service = with_policy(settings.policy)
    store = await PostgresStore.connect(
        service, PAYMENTS, None, settings.database_url.read(), **settings.kept
    )
    outside = provider_of(settings)
    provider = Provider(
        settings.provider,
        {"Capture": outside.capture, "Refund": outside.refund},
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
    runtime.start(Settings, "payment", serve)


if __name__ == "__main__":
    main()
