"""The loyalty service over HTTP: a customer's points and standing."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Request
from pydantic import BaseModel, Field

from chassis.auth import AUDIT, OPERATE, SERVICE
from chassis.commands import refuse_card_numbers
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
from loyalty_svc.store import PSEUDONYMS
from shared_events.pseudonyms import former_customer
from shared_events.scopes import ORDERS
from shared_events.values import Personal

TAGS: Final = {"customers": "Customers' points and standing."}
READING: Final = Access(own={ORDERS}, every={SERVICE, OPERATE, AUDIT})
JUDGING: Final = Access(every={OPERATE})
CustomerId = Annotated[Code, Path(description="The customer.", examples=["alice"])]


class Standing(Body):
    model_config = example(suspended=True)
    suspended: bool = Field(strict=True)


class Customer(BaseModel):
    customer_id: Personal
    points: int
    suspended: bool


def unknown(customer_id: str) -> Problem:
    return Problem(404, "unknown_customer", f"there is no customer {customer_id}")


def make(node: Node, store: RedisStore) -> FastAPI:
    app = app_of(node, "Awards points for orders.", TAGS)

    async def pseudonym_of(customer_id: str) -> str | None:
        """What events call a customer; of release 0.2 and before that is the customer's own id."""
        if (pseudonym := await PSEUDONYMS.key_of(store, customer_id)) is not None:
            return pseudonym
        former = former_customer(customer_id)
        return former if former and await store.shared_row(former) else None

    async def standing_of(customer_id: str, pseudonym: str | None) -> dict[str, Any]:
        known = pseudonym and await store.shared_row(pseudonym)
        customer = known or domain.Customer()
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
            raise unknown(customer_id)
        return await standing_of(customer_id, await pseudonym_of(customer_id))

    @app.put(
        "/customers/{customer_id}/standing",
        tags=["customers"],
        summary="Suspend a customer, or take it back",
        response_model=Customer,
        responses={
            200: {"links": links("customer_id", "get_points")},
            **refusals(_404="Nothing is known of the customer (`unknown_customer`)."),
        },
    )
    @open_to(JUDGING)
    async def set_standing(
        request: Request, customer_id: CustomerId, body: Standing
    ) -> dict[str, Any]:
        """Who is suspended is awarded no points: their orders are undone."""
        refuse_card_numbers({"customer_id": customer_id})
        pseudonym = await pseudonym_of(customer_id)
        if pseudonym is None:
            raise unknown(customer_id)
        command = SetStanding(customer_id=pseudonym, suspended=body.suspended)
        await execute(node.commands, request, pseudonym, command)
        return await standing_of(customer_id, pseudonym)

    return app
