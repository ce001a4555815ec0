"""What operators may ask of every service over HTTP, behind a bearer token (RFC 6750)."""

import base64
import hmac
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Header, Query
from pydantic import BaseModel, ConfigDict, Field

from chassis import clock, tracing
from chassis.effects import outcome_id
from chassis.http import Problem, make_app
from chassis.message import Message, OperatorAction, Parked, PendingEffect, why_not
from chassis.runtime import Node
from chassis.store import DeadLetter
from chassis.work import published_by
from shared_events.codec import type_of
from shared_events.decision import Refusal

LAG_S: Final = 1.5  # an answer without the lag is better than one that comes too late
KEY: Final[dict[str, Any]] = {
    "max_length": 2048,
    "pattern": r"^[^\x00]*$",
}  # a record's may be empty
Key = Annotated[str, Query(**KEY)]
Who = Annotated[str, Field(min_length=1, max_length=100)]
Note = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    key: Annotated[str, Field(**KEY)]
    by: Who


class Redrive(Asked):
    note: Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")] = ""
    dry_run: bool = False


class Discard(Asked):
    reason: Note
    id: Annotated[str, Field(max_length=64)] = ""


class Skip(BaseModel):
    """One record of a topic that the service reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    topic: Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")]
    partition: Annotated[int, Field(ge=0, lt=2**31)]
    offset: Annotated[int, Field(ge=0, lt=2**63)]
    by: Who
    note: Note


class Resolve(Asked):
    outcome: Annotated[str, Field(max_length=64)]
    note: Note
    reference: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")] = ""


def app_of(node: Node) -> FastAPI:
    """A service's app with what all services share; its own routes come on top."""
    app = make_app(node.service.name, node.conditions)
    app.include_router(routes(node))
    return app


def routes(node: Node) -> APIRouter:
    async def authorised(authorization: Annotated[str, Header()] = "") -> None:
        token = node.settings.operator_token.get_secret_value()
        if not token:
            name = f"{node.service.name}_operator_token".upper()
            raise Problem(403, "operator_api_off", f"{name} is not set")
        given = authorization.removeprefix("Bearer ").encode()
        if not hmac.compare_digest(given, token.encode()):
            raise Problem(401, "operator_unknown", "give the operator token as a bearer token")

    router = APIRouter(prefix="/ops", tags=["operators"], dependencies=[Depends(authorised)])
    _add_orders(router, node)
    _add_dead_letters(router, node)
    return router


def _add_orders(router: APIRouter, node: Node) -> None:
    operations = node.operations

    @router.get("/orders")
    async def whereabouts(key: Key) -> dict[str, Any]:
        found = await operations.whereabouts(key)
        return {
            "service": node.service.name,
            "state": found.state,
            "outbox": {"rows": found.outbox_rows, "oldest_s": round(found.outbox_oldest_s, 1)},
            "relay": {"failing": node.relay.failing},
            "consumer": {
                "ready": node.consumer.ready.is_set(),
                "lag": await node.consumer.lag(LAG_S),
            },
            "parked": [_summary(letter) for letter in found.parked],
            "effects": [_owed(node, e) for e in found.owed if not _is_timer(node, e)],
            "timers": [_owed(node, e) for e in found.owed if _is_timer(node, e)],
            "circuits": [
                {"provider": c.provider, "state": c.state.name.lower(), "why": c.why}
                for c in node.circuits
            ],
            "actions": await _actions(node, key),
            "resolutions": sorted(node.service.resolutions),
        }

    @router.get("/actions")
    async def actions(key: Key) -> list[dict[str, Any]]:
        return await _actions(node, key)

    @router.post("/expedite")
    async def expedite(body: Asked) -> dict[str, Any]:
        count = await operations.expedite(body.key, body.by)
        return {"key": body.key, "effects": count}

    @router.post("/resolve")
    async def resolve(body: Resolve) -> dict[str, Any]:
        return await _resolve(node, body)


def _add_dead_letters(router: APIRouter, node: Node) -> None:
    operations = node.operations

    @router.get("/dead-letters")
    async def heads(
        offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=500)] = 100
    ) -> dict[str, Any]:
        """The first dead letter of each key, the longest parked key first."""
        keys = await operations.parked_keys()
        letters = [await operations.dead_letters(key) for key in keys[offset : offset + limit]]
        firsts = [_summary(x[0]) | {"behind": len(x) - 1} for x in letters if x]
        return {"keys": len(keys), "heads": firsts}

    @router.get("/dead-letters/messages")
    async def messages(key: Key) -> list[dict[str, Any]]:
        return [_shown(letter) for letter in await operations.dead_letters(key)]

    @router.post("/dead-letters/redrive")
    async def redrive(body: Redrive) -> list[dict[str, Any]]:
        done = await operations.redrive(body.key, body.by, note=body.note, dry_run=body.dry_run)
        if not done:
            raise Problem(404, "nothing_parked", f"nothing is parked under {body.key!r}")
        if not body.dry_run:
            node.relay.wake.set()
        return [
            {
                "id": x.id,
                "outcome": type(x.outcome).__name__.lower(),
                "reason": x.outcome.reason if isinstance(x.outcome, Parked) else "",
                "published": x.published,
            }
            for x in done
        ]

    @router.post("/dead-letters/discard")
    async def discard(body: Discard) -> dict[str, Any]:
        letter = await operations.discard(body.key, body.by, body.reason, body.id)
        if letter is None:
            raise Problem(404, "nothing_parked", f"no such message is parked under {body.key!r}")
        return _summary(letter)

    @router.post("/dead-letters/skip")
    async def skip(body: Skip) -> dict[str, Any]:
        """Step over one record: it is parked and not handled, now or when it comes."""
        if body.topic not in {*node.service.topics, *node.service.own_topics}:
            raise Problem(422, "topic_not_read", f"it does not read {body.topic}")
        await operations.skip(body.topic, body.partition, body.offset, body.by, body.note)
        await node.consumer.look_for_skips()
        return {"key": f"{body.topic}:{body.partition}:{body.offset}"}


async def _actions(node: Node, key: str) -> list[dict[str, Any]]:
    return [
        {"at": at, "by": x.by, "action": x.action, "note": x.note, "detail": x.detail}
        for at, x in await node.operations.actions(key)
    ]


async def _resolve(node: Node, body: Resolve) -> dict[str, Any]:
    """A person says what became of an effect; from here on it is as if the provider had said so."""
    resolution = node.service.resolutions.get(body.outcome)
    if resolution is None:
        known = ", ".join(sorted(node.service.resolutions)) or "none"
        raise Problem(422, "unknown_outcome", f"{node.service.name} takes: {known}")
    if resolution.needs_reference and not body.reference:
        raise Problem(422, "reference_missing", f"{body.outcome} takes the provider's reference")
    found = await node.operations.whereabouts(body.key)
    owed = [e for e in found.owed if e.kind == resolution.effect.__name__]
    if not owed:
        why = f"{node.service.name} owes no {resolution.effect.__name__.lower()} of {body.key}"
        raise Problem(409, "nothing_owed", f"{why}: its state is {found.state}")
    effect = owed[-1]
    message = Message(
        id=outcome_id(node.service, effect.id),
        key=body.key,
        body=resolution.made(body.key, body.reference),
        at=clock.now(),
        traceparent=effect.traceparent or tracing.started(None),
        effect_id=effect.id,
        operator=OperatorAction(body.by, "resolve", body.key, body.note, body.outcome),
    )
    outcome = await node.commands.execute(message)
    if isinstance(outcome, Parked | Refusal):
        raise Problem(409, "not_resolved", why_not(outcome))
    return {"key": body.key, "effect": effect.id, "published": published_by(outcome)}


def _is_timer(node: Node, effect: PendingEffect) -> bool:
    return node.service.effect_kinds.get(effect.kind) in node.service.timers


def _owed(node: Node, effect: PendingEffect) -> dict[str, Any]:
    takes = {n: r for n, r in node.service.resolutions.items() if r.effect.__name__ == effect.kind}
    return {
        "id": effect.id,
        "kind": effect.kind,
        "tries": effect.tries,
        "due_at": effect.due_at,
        "owed_since": effect.owed_since,
        "last_error": effect.last_error,
        "needs_attention": effect.needs_attention,
        "may_be_resolved_as": list(takes),
        "with_reference": [
            name for name, resolution in takes.items() if resolution.needs_reference
        ],
    }


def _summary(letter: DeadLetter) -> dict[str, Any]:
    record = letter.record
    return {
        "id": letter.id,
        "key": letter.key,
        "type": type_of(record.headers),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "first_error": letter.first_reason,
        "last_error": letter.last_reason,
        "attempts": letter.attempts,
        "parked_at": letter.parked_at,
        "last_tried_at": letter.last_tried_at,
    }


def _shown(letter: DeadLetter) -> dict[str, Any]:
    """Byte-exact: base64 (RFC 4648) of key, value and header values."""
    record = letter.record
    return _summary(letter) | {
        "record_key": _base64(record.key),
        "value": _base64(record.value),
        "headers": [(name, _base64(raw)) for name, raw in record.headers],
    }


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()
