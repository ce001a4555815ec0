"""What an operator does for one order from its page: by the services' own routes, under their name."""

from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI, Request, Response
from pydantic import Field

from chassis.http import Body, Problem, open_to, text
from console.web.asking import NoAnswerError
from console.web.context import Console
from console.web.order_pages import OrderPath
from console.web.rendering import page
from console.web.session import CHANGE, viewer_of
from guarantees.services import BY_NAME

PATHS: Final = {
    "expedite": "/ops/expedite",
    "redrive": "/ops/dead-letters/redrive",
    "resolve": "/ops/resolve",
}


class OrderRepair(Body):
    """`outcome` and `reference` are for `resolve` alone, `note` is for all but `expedite`."""

    service: Annotated[str, text(32)]
    action: Literal["expedite", "redrive", "resolve"]
    note: Annotated[str, text(1000, 0)] = ""
    outcome: Annotated[str, text(64, 0)] = ""
    reference: Annotated[str, text(200, 0), Field(description="The provider's, if needed.")] = ""

    def asked_of_the_service(self, order_id: str) -> dict[str, Any]:
        """The body of the service's route."""
        match self.action:
            case "expedite":
                return {"key": order_id}
            case "redrive":
                return {"key": order_id, "note": self.note}
            case "resolve":
                more = {"outcome": self.outcome, "note": self.note, "reference": self.reference}
                return {"key": order_id, **more}


def add_order_repairs(app: FastAPI, console: Console) -> None:
    @app.post("/orders/{order_id}/repair", include_in_schema=False)
    @open_to(CHANGE)
    async def repair_order(request: Request, order_id: OrderPath, body: OrderRepair) -> Response:
        """It is recorded before it is done; what the service refuses is shown as it says it."""
        viewer = viewer_of(request)
        if body.service not in BY_NAME:
            raise Problem(422, "no_service", f"there is no service {body.service!r}")
        await console.record(viewer.name, body.action, f"{order_id} at {body.service}", body.note)
        asked = body.asked_of_the_service(order_id)
        try:
            await console.services.post(body.service, PATHS[body.action], viewer.token, **asked)
        except NoAnswerError as error:
            status = error.status or 503
            raise Problem(status, "not_done", str(error)) from error
        return page(request, "_repaired.html", viewer, action=body.action, service=body.service)
