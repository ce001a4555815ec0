"""The commands `saga failures list` and `repair`: groups of failures without a browser or a board."""

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Final

import typer

from chassis import clock
from console.command import run
from console.queries import Queries
from console.terminal.command import opened, quoted, table
from console.web.asking import ServiceDirectory
from console.web.failures import Failure, FailureGroup, FailureReport, RepairKind, report
from console.web.filters import FilterError, parse
from console.web.orders_pages import meeting, resolved
from console.web.rendering import age, short
from console.web.repairs import TRIED, Repair, RepairPlan, Repairs, RepairTerms
from guarantees.counts import counted
from saga_cli.ops.ops_client import Directory
from saga_cli.ops.options import confirmed
from saga_cli.ops.tokens import user_here
from saga_cli.terminal import asked_to_stop, fail, plain, print_json, write
from saga_cli.terminal import console as screen

COLUMNS: Final = ("group", "service", "what", "event", "error", "orders", "first seen", "example")
LOOK_S: Final = 0.2
WRITTEN_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class GroupRepair:
    """What is asked for: `group` may be the beginning of an id, `action` "" is the usual one."""

    group: str
    words: tuple[str, ...]
    note: str
    action: str
    rate: int


def show_groups(*, as_json: bool) -> None:
    found = run(_read(Directory.found()))
    _say_silence(found)
    if as_json:
        print_json([_as_json(group) for group in found.groups])
    elif found.groups:
        screen.print(table(COLUMNS, [_row(group) for group in found.groups]))
    elif not found.silent:
        write("Nothing is parked, and no call is tried again.")
    if found.silent:
        raise typer.Exit(1)


def repair_group(asked: GroupRepair, *, dry_run: bool, yes: bool) -> None:
    run(_repair(Directory.found(), asked, dry_run=dry_run, yes=yes))


async def _read(found: Directory) -> FailureReport:
    async with opened(found) as (queries, services):
        return await report(queries, services, found.token)


async def _repair(found: Directory, asked: GroupRepair, *, dry_run: bool, yes: bool) -> None:
    async with opened(found) as (queries, services):
        group = _chosen(await report(queries, services, found.token), asked.group)
        failures = await _meeting(queries, services, found.token, group, asked.words)
        repairs = Repairs(services, queries.record)
        plan = repairs.plan(_action(group, asked.action), asked.note, user_here(), failures)
        _say_plan(plan, await repairs.tried(plan, found.token))
        if dry_run:
            return
        if not asked.note:
            fail("say why by --note: the audit trail keeps it")
        if plan.action == "discard":
            confirmed("discard the first message of each for good?", yes=yes)
        try:
            job = await repairs.start(plan.id, RepairTerms(asked.rate), plan.by, found.token)
            assert job is not None, "it was planned just now"
            await _watched(repairs, job)
        finally:
            await repairs.close()
    _say_end(job)


def _chosen(found: FailureReport, id_: str) -> FailureGroup:
    groups = [group for group in found.groups if id_ and group.id.startswith(id_)]
    if len(groups) != 1:
        _say_silence(found)
        why = "nothing fails in such a way" if not groups else "it begins the ids of several groups"
        fail(f"{plain(id_)!r}: {why}; `saga failures list` shows all", 1 if not groups else 2)
    return groups[0]


async def _meeting(
    queries: Queries,
    services: ServiceDirectory,
    token: str,
    group: FailureGroup,
    words: tuple[str, ...],
) -> tuple[Failure, ...]:
    if not words:
        return group.failures
    try:
        wanted = parse(" ".join(map(quoted, words)))
        chosen = await meeting(
            queries, group.failures, await resolved(queries, services, wanted, token)
        )
    except FilterError as error:
        fail(str(error))
    if not chosen:
        fail("none of its orders meets the filter", 1)
    return chosen


def _action(group: FailureGroup, wanted: str) -> RepairKind:
    possible = [action for action in group.actions if action != "resolve"]
    found = next((action for action in possible if action == (wanted or possible[0])), None)
    if found is None:
        fail(f"{plain(wanted)!r} is for nothing of this group: {', '.join(possible)}")
    return found


async def _watched(repairs: Repairs, job: Repair) -> None:
    """Until it is over, with a line of what is done now and then; it may be stopped."""
    stopping, written_at = asked_to_stop(), clock.monotonic()
    while job.ended_at is None:
        if job.is_over:
            await clock.wait(LOOK_S)
        elif await clock.wait_for(stopping, LOOK_S):
            await repairs.steer(job, "stop", job.by)
        if clock.monotonic() - written_at > WRITTEN_EVERY_S:
            written_at = clock.monotonic()
            write(f"  {job.summary}")


def _say_silence(found: FailureReport) -> None:
    for why in found.silent.values():
        sys.stderr.write(f"saga: {plain(why)}\n")
    for service, what in found.sampled.items():
        sys.stderr.write(f"saga: {service} was asked about {what}: there are more\n")


def _say_plan(plan: RepairPlan, outlook: Counter[str]) -> None:
    first, number = plan.failures[0], counted(len(plan.failures), "order")
    why = plain(first.error.partition("\n")[0])
    write(f"{plan.action} {number} of {first.service}, {short(first.event)}: {why}")
    if outlook:
        write(f"  of the first {min(TRIED, len(plan.failures))}, tried without an effect:")
    for what, count in outlook.most_common():
        write(f"  {count} {plain(what)}")


def _say_end(job: Repair) -> None:
    write(f"{job.plan.action}: {job.summary}")
    for why, count in job.reasons.most_common():
        write(f"  {count} {plain(why)}")
    if job.unrecorded:
        fail(f"its end is not in the audit trail: {plain(job.unrecorded)}", 1)
    if job.counts["refused"] or job.state != "done":
        raise typer.Exit(1)


def _row(group: FailureGroup) -> tuple[str, ...]:
    newest, number = group.newest, f"{len(group.failures):,}"
    what = (newest.service, newest.kind, short(newest.event), group.headline)
    return (group.id, *what, number, f"{age(group.first)} ago", group.examples[0])


def _as_json(group: FailureGroup) -> dict[str, object]:
    newest = group.newest
    return {
        "group": group.id,
        "service": newest.service,
        "kind": newest.kind,
        "event": newest.event,
        "error": newest.error,
        "orders": len(group.failures),
        "messages": group.messages,
        "first": group.first.isoformat(),
        "last": newest.last.isoformat(),
        "actions": group.actions,
        "examples": group.examples,
    }
