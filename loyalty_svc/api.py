"""The loyalty service over HTTP: a customer's points and standing."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Request
from pydantic import BaseModel, Field

from chassis.auth import AUDIT, OPERATE, SERVICE
from chassis.http import (
    Access,
    Body,
    Code,
    Problem,
    app_of,
    example,
    execute,
    granted,
    links,
    open_to,
    refusals,
)
from chassis.process.runtime import Node
from chassis.redis import RedisStore
from loyalty_svc import domain
from loyalty_svc.messages import SetStanding
from shared_events.scopes import ORDERS

TAGS: Final = {"customers": "Customers' points and standing."}
READING: Final = Access(own={ORDERS}, every={SERVICE, OPERATE, AUDIT})
JUDGING: Final = Access(every={OPERATE})
CustomerId = Annotated[Code, Path(description="The customer.", examples=["alice"])]


class Standing(Body):
    model_config = example(suspended=True)
    suspended: bool = Field(strict=True)


class Customer(BaseModel):
    customer_id: str
    points: int
    suspended: bool


def make(node: Node, store: RedisStore) -> FastAPI:
    app = app_of(node, "Awards points for orders.", TAGS)

    async def standing_of(customer_id: str) -> dict[str, Any]:
        customer = await store.shared_row(customer_id) or domain.Customer()
        return {
            "customer_id": customer_id,
            "points": customer.points,
            "suspended": customer.suspended,
        }

    @app.get(
        "/customers/{customer_id}/points",
        tags=["customers"],
        summary="A customer's points",
        response_model=Customer,
        responses=refusals(_404="It is another customer (`unknown_customer`)."),
    )
    @open_to(READING)
    async def get_points(request: Request, customer_id: CustomerId) -> dict[str, Any]:
        """A customer of whom nothing is known has none."""
        if not granted(request).covers(customer_id):
            raise Problem(404, "unknown_customer", f"there is no customer {customer_id}")
        return await standing_of(customer_id)

    @app.put(
        "/customers/{customer_id}/standing",
        tags=["customers"],
        summary="Suspend a customer, or take it back",
        response_model=Customer,
        responses={200: {"links": links("customer_id", "get_points")}},
    )
    @open_to(JUDGING)
    async def set_standing(
        request: Request, customer_id: CustomerId, body: Standing
    ) -> dict[str, Any]:
        """Who is suspended is awarded no points: their orders are undone."""
        command = SetStanding(customer_id=customer_id, suspended=body.suspended)
        await execute(node.commands, request, customer_id, command)
        return await standing_of(customer_id)

    return app
