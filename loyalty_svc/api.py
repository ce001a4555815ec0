"""The loyalty service over HTTP: a customer's points and standing."""

from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from pydantic import BaseModel, ConfigDict

from chassis.http import execute
from chassis.operator_api import app_of
from chassis.runtime import Node
from loyalty_svc.messages import SetStanding
from loyalty_svc.store import RedisStore

CustomerId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class Standing(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    suspended: bool


def make(node: Node, store: RedisStore) -> FastAPI:
    app = app_of(node)

    @app.get("/customers/{customer_id}/points", tags=["customers"])
    async def points(customer_id: CustomerId) -> dict[str, Any]:
        row = await store.standing(customer_id)
        return {
            "customer_id": customer_id,
            "points": int(row[0] or 0),
            "suspended": bool(int(row[1] or 0)),
        }

    @app.put("/customers/{customer_id}/standing", tags=["customers"])
    async def set_standing(
        request: Request, customer_id: CustomerId, body: Standing
    ) -> dict[str, Any]:
        command = SetStanding(customer_id=customer_id, suspended=body.suspended)
        await execute(node.commands, request, customer_id, command)
        return await points(customer_id)

    return app
