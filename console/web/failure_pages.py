"""Failure groups, and repairs of them: planned, tried without an effect, confirmed, watched."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import FastAPI, Request, Response
from pydantic import Field, field_validator

from chassis.http import Body, Note, ParkedKey, Problem, open_to, text
from console.web.context import Console
from console.web.failures import Failure, FailureGroup, RepairKind, report
from console.web.filters import LENGTH_MAX, FilterError, parse
from console.web.orders_pages import meeting, resolved
from console.web.rendering import page
from console.web.repairs import RATE, RATE_MAX, TRIED, RepairTerms, RepairVerb
from console.web.session import CHANGE, LOOK, Viewer, viewer_of

SHOWN: Final = 200
"""Of a group, so many are listed; a repair of the group is of all."""
NoteText = Annotated[str, text(1000, 0)]
GroupPath = Annotated[str, text(12, 12, "^[0-9a-f]+$")]
JobPath = Annotated[str, text(36, 36, "^[0-9a-f-]+$")]
ACTIONS: Final = 20
"""So many of the newest entries of the console's audit trail are shown."""


class RepairRequest(Body):
    """What to do with a group: without `keys` and `filter` with all of it. `note` is for the audit trail."""

    action: RepairKind
    note: Note
    keys: Annotated[list[ParkedKey], Field(max_length=SHOWN)] | None = None
    filter: Annotated[str, text(LENGTH_MAX, 0)] = ""


class GroupNoteText(Body):
    """Of a group; without a text its note is removed."""

    text: NoteText = ""


class RepairStart(Body):
    plan: JobPath
    rate: Annotated[int, Field(ge=1, le=RATE_MAX)] = RATE
    outcome: Annotated[str, text(64, 0)] = ""
    reference: Annotated[str, text(200, 0)] = ""

    @field_validator("rate", mode="before")
    @classmethod
    def _as_a_form_sends_it(cls, rate: object) -> object:
        return int(rate) if isinstance(rate, str) and rate.isdecimal() else rate


class RepairSteering(Body):
    verb: RepairVerb


def add_failures(app: FastAPI, console: Console) -> None:
    @app.get("/failures", include_in_schema=False)
    @open_to(LOOK)
    async def show_failures(request: Request) -> Response:
        viewer = viewer_of(request)
        found = await report(console.queries, console.services, viewer.token)
        values: dict[str, Any] = {
            "notes": await console.queries.notes_on(group.id for group in found.groups),
            "jobs": list(console.repairs.begun.values()),
            "actions": await console.queries.actions(ACTIONS),
        }
        return page(request, "failures.html", viewer, found=found, **values)

    @app.get("/failures/{group}", include_in_schema=False)
    @open_to(LOOK)
    async def show_group(request: Request, group: GroupPath) -> Response:
        viewer = viewer_of(request)
        found = await _group(console, group, viewer)
        values: dict[str, Any] = {
            "group": found,
            "shown": found.failures[:SHOWN],
            "note": (await console.queries.notes_on([found.id])).get(found.id),
        }
        return page(request, "failure_group.html", viewer, **values)

    @app.post("/failures/{group}/note", include_in_schema=False)
    @open_to(CHANGE)
    async def write_note(request: Request, group: GroupPath, body: GroupNoteText) -> Response:
        """Of a group that fails now. It is recorded before it is written."""
        viewer = viewer_of(request)
        found = await _group(console, group, viewer)
        await console.record(viewer.name, "note", described(found), body.text)
        await console.queries.write_note(found.id, body.text, viewer.name)
        note = (await console.queries.notes_on([found.id])).get(found.id)
        return page(request, "_group_note.html", viewer, group=found, note=note)

    @app.post("/failures/{group}/plan", include_in_schema=False)
    @open_to(CHANGE)
    async def plan(request: Request, group: GroupPath, body: RepairRequest) -> Response:
        """Freeze the set, and say what would become of it."""
        viewer = viewer_of(request)
        found = await _group(console, group, viewer)
        chosen = await _chosen(console, found, body, viewer)
        made = console.repairs.plan(body.action, body.note, viewer.name, chosen)
        if made.action == "resolve" and not made.outcomes:
            why = "No outcome counts for all of them, or it takes a reference for each: record them singly."
            raise Problem(422, "no_outcome", why)
        outlook = await console.repairs.tried(made, viewer.token)
        values: dict[str, Any] = {
            "plan": made,
            "outlook": outlook,
            "tried": TRIED,
            "rate": RATE,
            "group": found,
        }
        return page(request, "_plan.html", viewer, **values)

    _add_jobs(app, console)


def _add_jobs(app: FastAPI, console: Console) -> None:
    @app.post("/jobs", include_in_schema=False)
    @open_to(CHANGE)
    async def start_job(request: Request, body: RepairStart) -> Response:
        viewer = viewer_of(request)
        terms = RepairTerms(body.rate, body.outcome, body.reference)
        plan = console.repairs.plans.get(body.plan)
        if plan is not None and (why := plan.refused(terms)):
            raise Problem(422, "no_outcome", f"{why[0].upper()}{why[1:]}.")
        job = await console.repairs.start(body.plan, terms, viewer.name, viewer.token)
        if job is None:
            raise Problem(
                409, "no_plan", "This was begun already, or is too long ago: plan it anew."
            )
        return Response(status_code=204, headers={"HX-Redirect": f"/jobs/{job.plan.id}"})

    @app.get("/jobs/{job_id}", include_in_schema=False)
    @open_to(LOOK)
    async def show_job(request: Request, job_id: JobPath) -> Response:
        return page(request, "job.html", viewer_of(request), **_of_job(console, job_id))

    @app.get("/jobs/{job_id}/progress", include_in_schema=False)
    @open_to(LOOK)
    async def show_progress(request: Request, job_id: JobPath) -> Response:
        return page(request, "_job.html", viewer_of(request), **_of_job(console, job_id))

    @app.post("/jobs/{job_id}", include_in_schema=False)
    @open_to(CHANGE)
    async def steer_job(request: Request, job_id: JobPath, body: RepairSteering) -> Response:
        viewer = viewer_of(request)
        values = _of_job(console, job_id)
        await console.repairs.steer(values["job"], body.verb, viewer.name)
        return page(request, "_job.html", viewer, **values)


def described(group: FailureGroup) -> str:
    """For the audit trail."""
    newest = group.newest
    return f"group {group.id}: {newest.service}, {newest.event}"


async def _group(console: Console, group_id: str, viewer: Viewer) -> FailureGroup:
    found = await report(console.queries, console.services, viewer.token)
    group = found.group(group_id)
    if group is None:
        raise Problem(404, "not_found", "Nothing fails in this way any more.")
    return group


async def _chosen(
    console: Console, group: FailureGroup, body: RepairRequest, viewer: Viewer
) -> Sequence[Failure]:
    if body.action not in group.actions:
        raise Problem(422, "no_action", f"{body.action} is for nothing of this group")
    keys = None if body.keys is None else set(body.keys)
    chosen = tuple(each for each in group.failures if keys is None or each.key in keys)
    if body.filter.strip():
        try:
            asked = await resolved(
                console.queries, console.services, parse(body.filter), viewer.token
            )
        except FilterError as error:
            raise Problem(422, "no_filter", f"That is no filter: {error}.") from None
        chosen = await meeting(console.queries, chosen, asked)
    if not chosen:
        raise Problem(422, "nothing_chosen", "None of what was chosen fails any more.")
    return chosen


def _of_job(console: Console, job_id: str) -> Mapping[str, Any]:
    job = console.repairs.begun.get(job_id)
    if job is None:
        raise Problem(404, "not_found", "There is no such repair, or the console was started anew.")
    return {"job": job, "first": job.plan.failures[0]}
