"""saga deploy-check: whether a version of a service may go out now into what runs."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from pydantic import ValidationError

from guarantees.services import BY_NAME
from saga_cli.checkouts import OtherCodeError
from saga_cli.deploy import asking, checking
from saga_cli.deploy.checking import DeployReason, RunningInstance
from saga_cli.deploy.released import ServiceRelease
from saga_cli.ops.ops_client import Directory
from saga_cli.ops.options import AsJson, ServiceArgument
from saga_cli.progress import ReadProgress, shown
from saga_cli.terminal import fail, message_of, plain, print_json, write

WHERE = "a checkout, an archive of one, or a revision of git"


def deploy_check(
    service: ServiceArgument,
    old: Annotated[str, typer.Option("--from", help=f"What runs: {WHERE}.")],
    new: Annotated[str, typer.Option("--to", help="What is to go out: the same.")],
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask neither the services nor the log.")
    ] = False,
    from_start: Annotated[
        bool,
        typer.Option(
            "--from-start", help="Read topics from their start, not from where the service is."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether a version of a service may go out now, or back; exit 1 if not, with the reasons.

    contract: what it and its neighbours read of each other's events. migration: one that does not only add.
    state: orders are in one that it can't read. running: an instance that does not answer, or that it could
    not work beside. log: a version of an event that it has to read and can't. parked: a dead letter is such.
    """
    before, after = release_of(old, service), release_of(new, service)
    look = None if offline else LookAround(Directory.found(), from_start=from_start)
    reasons = list(_reasons(before, after, look))
    refused = sum(reason.refuses for reason in reasons)
    if as_json:
        print_json({"may_go": not refused, "reasons": [asdict(reason) for reason in reasons]})
    else:
        for each in sorted(reasons, key=lambda reason: not reason.refuses):
            verdict = "no  " if each.refuses else "note"
            line = f"{verdict}  {each.check}: {each.why}"
            write(plain(line), "red" if each.refuses else None)
        shown = f"{service} {before.version or old} -> {after.version or new}"
        why = f"may not go out: {refused} reasons" if refused else "may go out"
        write(plain(f"{shown}: {why}."))
    if refused:
        raise typer.Exit(1)


def release_of(where: str, service: str) -> ServiceRelease:
    """That of other code; what can't be read ends the command with 2."""
    from saga_cli.deploy.neighbours import read  # noqa: PLC0415 - with what it needs it is slow

    try:
        return read(where, service)
    except (OtherCodeError, ValidationError) as error:
        why = plain(message_of(error))
        fail(f"{service} of {plain(where)} can't be read: {why}")


@dataclass(frozen=True, slots=True)
class LookAround:
    """Whom to ask of what runs; `from_start` is for who wants to read all that there ever was."""

    services: Directory
    from_start: bool = False


def _reasons(
    old: ServiceRelease, new: ServiceRelease, look: LookAround | None
) -> Iterator[DeployReason]:
    from saga_cli.deploy.neighbours import neighbours_of  # noqa: PLC0415 - as above

    running: list[RunningInstance] = [] if look is None else list(asking.instances(look.services))
    near = neighbours_of(new.service, running)
    yield from near.notes
    yield from checking.of_contracts(new, near.contracts)
    yield from checking.of_neighbours(new, near.published)
    yield from checking.of_migrations(old, new)
    lost = checking.lost_states(old, new)
    yield from checking.of_states(old, new, _orders_in(new, lost) if look and lost else None)
    if look is None:
        return
    yield from checking.of_running(old, new, running, near.contracts)
    yield from checking.of_parked(new, *asking.parked(look.services, new.service))
    yield from checking.of_log(new, _types_in_log(new, from_start=look.from_start))


def _orders_in(new: ServiceRelease, states: Collection[str]) -> Counter[str]:
    from saga_cli.clients import UNAVAILABLE  # noqa: PLC0415 - as above
    from saga_cli.deploy.stored import orders_in  # noqa: PLC0415
    from saga_cli.targets import found  # noqa: PLC0415

    try:
        return asyncio.run(orders_in(new.service, found().store_of(new.service), states))
    except UNAVAILABLE as error:
        fail(f"the states of orders can't be read: {plain(message_of(error))}", 1)


def _types_in_log(new: ServiceRelease, *, from_start: bool) -> dict[str, Counter[str]]:
    from saga_cli.clients import UNAVAILABLE  # noqa: PLC0415 - as above
    from saga_cli.log.kafka import KafkaLog, committed  # noqa: PLC0415
    from saga_cli.targets import found  # noqa: PLC0415

    cluster = found().kafka
    from_start = from_start or not BY_NAME[new.service].has_database  # a lost Redis reads all anew
    topics = asking.topics_of(new, from_start=from_start)

    async def read(progress: ReadProgress) -> dict[str, Counter[str]]:
        done = {} if from_start else await committed(cluster, new.service)
        return await asking.types_in(KafkaLog(cluster), topics, done, progress)

    try:
        with shown() as progress_of:
            return asyncio.run(read(progress_of("the log")))
    except UNAVAILABLE as error:
        fail(f"what is in the log can't be read: {plain(message_of(error))}", 1)
