"""python -m loyalty_svc: one process of the loyalty service."""

from chassis.process import program, runtime
from chassis.redis import RedisDatabase, RedisInspection, RedisStore
from loyalty_svc import api
from loyalty_svc.manifest import MANIFEST
from loyalty_svc.service import with_policy
from loyalty_svc.settings import Settings
from loyalty_svc.store import LAYOUT


async def serve(settings: Settings) -> None:
    service = with_policy(settings.policy)
    database = RedisDatabase.of(settings)
    await database.check()
    store = await RedisStore.connect(
        service,
        LAYOUT,
        database,
        settings.kafka,
        keep_days=settings.outbox_keep_days,
        send_timeout_s=settings.send_timeout_s,
    )
    node = runtime.assemble(service, settings, store, RedisInspection(store))
    node.health.watch("own_log_unreadable", store.unreadable)
    await runtime.run(node, api.make(node, store))


def main() -> None:
    program.begin(MANIFEST, Settings, serve)


if __name__ == "__main__":
    main()
