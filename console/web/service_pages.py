"""What each service says of itself: version and since when, outbox, circuit, what is parked."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response

from chassis.http import open_to
from console.web.asking import versions
from console.web.context import Console
from console.web.rendering import page
from console.web.session import LOOK, viewer_of


def add_services(app: FastAPI, console: Console) -> None:
    @app.get("/services", include_in_schema=False)
    @open_to(LOOK)
    async def show_services(request: Request) -> Response:
        return page(request, "services.html", viewer_of(request), **await _values(console))

    @app.get("/services/rows", include_in_schema=False)
    @open_to(LOOK)
    async def show_services_again(request: Request) -> Response:
        return page(request, "_services.html", viewer_of(request), **await _values(console))


async def _values(console: Console) -> Mapping[str, Any]:
    instances = await console.services.instances()
    reader = await console.queries.reader()
    return {"instances": instances, "versions": versions(instances), "reader": reader}
