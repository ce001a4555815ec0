"""What operators may ask of every service over HTTP: auditors read, operators change."""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Query, Request

from chassis import clock, tracing
from chassis.decide import published_by
from chassis.decision import Refusal
from chassis.effects import Circuit, outcome_id
from chassis.events import type_of
from chassis.http.access import CHANGE, LOOK, GuardedRoute, granted, open_to
from chassis.http.app import make_app
from chassis.http.openapi import refusals
from chassis.http.operator_models import (
    Action,
    Asked,
    Copy,
    Discard,
    Expedited,
    ParkedKeys,
    Redrive,
    Redriven,
    Resolve,
    Resolved,
    Skip,
    Skipped,
    Whereabouts,
)
from chassis.http.operator_models import DeadLetter as Shown
from chassis.http.outbox_api import add_outbox
from chassis.http.problems import Problem
from chassis.http.running import RunningService
from chassis.http.texts import ParkedKey
from chassis.http.version_api import version_routes
from chassis.message import Message, OperatorAction, PendingEffect, why_not
from chassis.message import Parked as Undecided
from chassis.redrive import redrive
from chassis.store import DeadLetter

LAG_S: Final = 1.5  # an answer without the lag is better than one that comes too late
TAG: Final = "operators"
TAG_TEXT: Final = "For operators: where an order is, dead letters, outstanding effects."
KeyQuery = Annotated[ParkedKey, Query(description="An order's id, or whatever key a message has.")]


def app_of(node: RunningService, description: str, tags: Mapping[str, str]) -> FastAPI:
    """A service's app with what all services share; its own routes come on top."""
    shared = {**tags, TAG: TAG_TEXT}
    app = make_app(node.service.name, node.conditions, node.gate, description, shared)
    app.include_router(version_routes(node))
    app.include_router(routes(node))
    return app


def routes(node: RunningService) -> APIRouter:
    router = APIRouter(prefix="/ops", tags=[TAG], route_class=GuardedRoute)
    _add_whereabouts(router, node)
    _add_repairs(router, node)
    _add_dead_letters(router, node)
    _add_dead_letter_repairs(router, node)
    add_outbox(router, node)
    return router


def _add_whereabouts(router: APIRouter, node: RunningService) -> None:
    operations = node.operations

    @router.get("/orders", summary="All that the service knows of an order")
    @open_to(LOOK)
    async def get_whereabouts(key: KeyQuery) -> Whereabouts:
        """Its state, its rows in the outbox, its parked messages and its outstanding effects."""
        found = await operations.whereabouts(key)
        return Whereabouts.model_validate(
            {
                "service": node.service.name,
                "state": found.state,
                "outbox": {
                    "rows": found.outbox_rows,
                    "oldest_s": round(found.outbox_oldest_s, 1),
                    "refused": found.refused,
                },
                "relay": {"failing": node.relay.failing},
                "consumer": {
                    "ready": node.consumer.ready.is_set(),
                    "lag": await node.consumer.lag(LAG_S),
                },
                "parked": [_summary(letter) for letter in found.parked],
                "effects": [
                    _shown_effect(node, e)
                    for e in found.outstanding_effects
                    if not _is_timer(node, e)
                ],
                "timers": [
                    _shown_effect(node, e) for e in found.outstanding_effects if _is_timer(node, e)
                ],
                "circuits": [_circuit(each) for each in node.circuits],
                "actions": await _actions(node, key),
                "resolutions": sorted(node.service.resolutions),
            }
        )

    @router.get("/actions", summary="What operators did to an order", response_model=list[Action])
    @open_to(LOOK)
    async def list_actions(key: KeyQuery) -> list[dict[str, Any]]:
        """The audit trail, the oldest first."""
        return await _actions(node, key)


def _add_repairs(router: APIRouter, node: RunningService) -> None:
    @router.post("/expedite", summary="Run an order's outstanding effects now")
    @open_to(CHANGE)
    async def expedite_effects(request: Request, body: Asked) -> Expedited:
        """Those that wait for their next try are run at once."""
        count = await node.operations.expedite(body.key, granted(request).subject)
        return Expedited(key=body.key, effects=count)

    @router.post(
        "/resolve",
        summary="Record the outcome of an outstanding effect",
        responses=refusals(
            _409="No such effect is outstanding (`nothing_owed`), or the rules refuse it (`not_resolved`).",
        ),
        response_model=Resolved,
    )
    @open_to(CHANGE)
    async def resolve_effect(request: Request, body: Resolve) -> dict[str, Any]:
        """The outcome is decided on as if the provider had reported it."""
        return await _resolve(node, body, granted(request).subject)


def _add_dead_letters(router: APIRouter, node: RunningService) -> None:
    operations = node.operations

    @router.get(
        "/dead-letters", summary="The first dead letter of each key", response_model=ParkedKeys
    )
    @open_to(LOOK)
    async def list_dead_letters(
        offset: Annotated[int, Query(ge=0, le=10**9, description="Keys to step over.")] = 0,
        limit: Annotated[int, Query(ge=1, le=500, description="Keys to show at most.")] = 100,
    ) -> dict[str, Any]:
        """The longest parked key first."""
        keys = await operations.parked_keys()
        letters = [await operations.dead_letters(key) for key in keys[offset : offset + limit]]
        firsts = [_summary(x[0]) | {"behind": len(x) - 1} for x in letters if x]
        return {"keys": len(keys), "heads": firsts}

    @router.get(
        "/dead-letters/messages",
        summary="A key's dead letters, byte for byte",
        response_model=list[Copy],
    )
    @open_to(LOOK)
    async def list_dead_letter_messages(key: KeyQuery) -> list[dict[str, Any]]:
        """In the order in which they will be tried."""
        return [_shown(letter) for letter in await operations.dead_letters(key)]


def _add_dead_letter_repairs(router: APIRouter, node: RunningService) -> None:
    operations = node.operations
    parked = refusals(_404="Nothing of the kind is parked (`nothing_parked`).")

    @router.post(
        "/dead-letters/redrive",
        summary="Try a key's dead letters again",
        responses=parked,
        response_model=list[Redriven],
    )
    @open_to(CHANGE)
    async def redrive_dead_letters(request: Request, body: Redrive) -> list[dict[str, Any]]:
        """In order, up to the first that fails again."""
        done = await redrive(
            node.commands.handler,
            operations,
            body.key,
            granted(request).subject,
            note=body.note,
            dry_run=body.dry_run,
        )
        if not done:
            raise Problem(404, "nothing_parked", f"nothing is parked under {body.key!r}")
        if not body.dry_run:
            node.relay.wake.set()
        return [
            {
                "id": x.id,
                "outcome": type(x.outcome).__name__.lower(),
                "reason": x.outcome.reason if isinstance(x.outcome, Undecided) else "",
                "published": x.published,
            }
            for x in done
        ]

    @router.post(
        "/dead-letters/discard",
        summary="Give up a dead letter",
        responses=parked,
        response_model=Shown,
    )
    @open_to(CHANGE)
    async def discard_dead_letter(request: Request, body: Discard) -> dict[str, Any]:
        """Its effect will never be; what waited after it can be tried."""
        letter = await operations.discard(body.key, granted(request).subject, body.reason, body.id)
        if letter is None:
            raise Problem(404, "nothing_parked", f"no such message is parked under {body.key!r}")
        return _summary(letter)

    @router.post("/dead-letters/skip", summary="Step over one record")
    @open_to(CHANGE)
    async def skip_record(request: Request, body: Skip) -> Skipped:
        """It is parked and not handled, now or when it comes."""
        if body.topic not in {*node.service.topics, *node.service.log_topics}:
            raise Problem(422, "topic_not_read", f"it does not read {body.topic}")
        by = granted(request).subject
        await operations.skip(body.topic, body.partition, body.offset, by, body.note)
        await node.consumer.look_for_skips()
        return Skipped(key=f"{body.topic}:{body.partition}:{body.offset}")


def _circuit(of: Circuit) -> dict[str, Any]:
    state, again = of.state.name.lower(), of.calls_again_at
    return {"provider": of.provider, "state": state, "why": of.why, "calls_again_at": again}


async def _actions(node: RunningService, key: str) -> list[dict[str, Any]]:
    return [
        {"at": at, "by": x.by, "action": x.action, "note": x.note, "detail": x.detail}
        for at, x in await node.operations.actions(key)
    ]


async def _resolve(node: RunningService, body: Resolve, by: str) -> dict[str, Any]:
    """Decide on an outcome that an operator recorded, as if the provider had reported it."""
    resolution = node.service.resolutions.get(body.outcome)
    if resolution is None:
        known = ", ".join(sorted(node.service.resolutions)) or "none"
        raise Problem(422, "unknown_outcome", f"{node.service.name} takes: {known}")
    if resolution.needs_reference and not body.reference:
        raise Problem(422, "reference_missing", f"{body.outcome} takes the provider's reference")
    found = await node.operations.whereabouts(body.key)
    kinds = node.service.effect_kinds
    outstanding_effects = [
        e for e in found.outstanding_effects if kinds.get(e.kind) is resolution.effect
    ]
    if not outstanding_effects:
        kind = node.service.kind_of(resolution.effect)
        why = f"{node.service.name} has no outstanding {kind.lower()} of {body.key}"
        raise Problem(409, "nothing_owed", f"{why}: its state is {found.state}")
    effect = outstanding_effects[-1]
    message = Message(
        id=outcome_id(node.service, effect.id),
        key=body.key,
        body=resolution.made(body.key, body.reference),
        at=clock.now(),
        traceparent=tracing.resumed(effect.traceparent),
        effect_id=effect.id,
        operator=OperatorAction(by, "resolve", body.key, body.note, body.outcome),
    )
    outcome = await node.commands.execute(message)
    if isinstance(outcome, Undecided | Refusal):
        raise Problem(409, "not_resolved", why_not(outcome))
    return {
        "key": body.key,
        "effect": effect.id,
        "published": published_by(node.service.catalog, outcome),
    }


def _is_timer(node: RunningService, effect: PendingEffect) -> bool:
    return node.service.present_kind(effect.kind) in node.service.timers


def _shown_effect(node: RunningService, effect: PendingEffect) -> dict[str, Any]:
    declared = node.service.effect_kinds.get(effect.kind)
    takes = {n: r for n, r in node.service.resolutions.items() if r.effect is declared}
    return {
        "id": effect.id,
        "kind": node.service.present_kind(effect.kind),
        "attempt": effect.attempt,
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
