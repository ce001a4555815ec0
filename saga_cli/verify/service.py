"""All that is compared of one service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from saga_cli.declared import service_of
from saga_cli.log.opened import opened
from saga_cli.log.source import Source
from saga_cli.targets import Targets
from saga_cli.topology import BY_NAME, SERVICES
from saga_cli.verify.comparing import compare
from saga_cli.verify.details import committed, compare_details
from saga_cli.verify.live import in_postgres
from saga_cli.verify.results import ReadProgress, ServiceResult, no_progress


async def verify_all(places: Targets) -> list[ServiceResult]:
    source = opened(places)
    return [await verify_service(source, places, spec.name) for spec in SERVICES]


async def verify_service(
    source: Source, places: Targets, name: str, progress: ReadProgress = no_progress
) -> ServiceResult:
    service, url = service_of(name), places.store_of(name)
    if not BY_NAME[name].has_database:
        from saga_cli.verify.redis_live import (  # noqa: PLC0415 - it needs the service
            compare_customers,
            in_redis,
        )

        result = await compare(source, service, in_redis(url), progress, with_shared=False)
        await compare_customers(source, service, url, result, progress)
        return result
    consumed = await committed(places.kafka_bootstrap, name) if service.projections else {}
    details = ServiceResult(name)

    @asynccontextmanager
    async def snapshot() -> AsyncIterator[Any]:
        async with in_postgres(name, url) as live:
            yield live
            if service.projections:
                await compare_details(source, live, consumed, details, progress)

    result = await compare(source, service, snapshot(), progress)
    return _joined(result, details)


def _joined(result: ServiceResult, more: ServiceResult) -> ServiceResult:
    result.rows += more.rows
    result.newer += more.newer
    result.differences += more.differences
    result.notes += more.notes
    return result
