"""Is Redis behind what was published? A cut file, a failover or a restored copy sets it back.

A state is written before its event is published, so a complete Redis knows every event of the
log. One that doesn't would decide again, at a later time and perhaps otherwise, what others have
acted on: it counts as lost. Where the check ended is kept beside the data, and goes back with them.
"""

from collections.abc import Sequence
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from chassis.events import Envelope
from chassis.kafka import Cluster, own_events, reading
from chassis.redis import keys
from chassis.redis.tables import Layout
from chassis.service import Service

log = structlog.get_logger()
CHECKED: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('HSET', KEYS[2], unpack(ARGV, 2)) end
"""
END_EPOCH: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[2], ARGV[1])  -- first: without it, data without an epoch would count as complete
  redis.call('DEL', KEYS[1])
end
"""


async def is_rolled_back(
    service: Service, layout: Layout, redis: Redis, cluster: Cluster, epoch: str, unread: list[str]
) -> bool:
    """Compare with what was published since the last check; if it is behind, its epoch ends.

    Records of its own that can't be read tell nothing; their places are added to `unread`.
    """
    names = layout.keys
    stored: Any = await redis.hgetall(names.checked)
    since = keys.places_of(stored)
    async with reading(cluster, service.log_topics, since) as topics:
        async for records in topics.to_end():
            found = own_events(service.catalog, service.name, records, keys.noting(unread))
            own = [envelope for _, envelope in found]
            if missing := await _missing(service, redis, layout, own):
                log.error("redis_rolled_back", wire_type=missing.type, subject=missing.subject)
                await redis.eval(END_EPOCH, 2, names.epoch, names.rebuild_begun, epoch)
                return True
        if places := keys.place_values(topics.reached):
            await redis.eval(CHECKED, 2, names.epoch, names.checked, epoch, *places)
    return False


async def _missing(
    service: Service, redis: Redis, layout: Layout, envelopes: Sequence[Envelope]
) -> Envelope | None:
    """The first event that the state doesn't hold."""
    pipe: Any = redis.pipeline(transaction=False)
    for envelope in envelopes:
        if service.catalog.entry_of(envelope.event).is_of_a_saga:
            pipe.hget(layout.own_key(envelope.subject), "version")
        elif layout.shared is not None:
            pipe.hget(layout.shared_key(envelope.subject), layout.shared.version)
    held = await pipe.execute() if envelopes else []
    pairs = zip(envelopes, held, strict=True)
    return next((envelope for envelope, n in pairs if int(n or 0) < envelope.sequence), None)
