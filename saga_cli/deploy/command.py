"""saga deploy-check: whether a version of a service may go out now into what runs."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from pydantic import ValidationError

from saga_cli.checkouts import OtherCodeError
from saga_cli.deploy import asking, checking
from saga_cli.deploy.checking import DeployReason, RunningInstance
from saga_cli.deploy.released import ServiceRelease
from saga_cli.ops.ops_client import Directory
from saga_cli.ops.options import AsJson, ServiceArgument
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
    as_json: AsJson = False,
) -> None:
    """Say whether a version of a service may go out now, or back; exit 1 if not, with the reasons.

    contract: what it and its neighbours read of each other's events. migration: one that does not only add.
    running: an instance that does not answer, or that it could not work beside. log: a version of an event
    that it has to read and can't. parked: the same of a dead letter.
    """
    before, after = release_of(old, service), release_of(new, service)
    reasons = list(_reasons(before, after, offline=offline))
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


def _reasons(old: ServiceRelease, new: ServiceRelease, *, offline: bool) -> Iterator[DeployReason]:
    from saga_cli.deploy.neighbours import neighbours_of  # noqa: PLC0415 - as above

    asked = None if offline else Directory.found()
    running: list[RunningInstance] = [] if asked is None else list(asking.instances(asked))
    near = neighbours_of(new.service, running)
    yield from near.notes
    yield from checking.of_contracts(new, near.contracts)
    yield from checking.of_neighbours(new, near.published)
    yield from checking.of_migrations(old, new)
    if asked is None:
        return
    yield from checking.of_running(old, new, running, near.contracts)
    yield from checking.of_parked(new, *asking.parked(asked, new.service))
    yield from checking.of_log(new, _types_in_log(new))


def _types_in_log(new: ServiceRelease) -> dict[str, Counter[str]]:
    from saga_cli.clients import UNAVAILABLE  # noqa: PLC0415 - as above
    from saga_cli.log.kafka import KafkaLog  # noqa: PLC0415
    from saga_cli.targets import found  # noqa: PLC0415

    try:
        return asyncio.run(asking.types_in(KafkaLog(found().kafka), asking.topics_of(new)))
    except UNAVAILABLE as error:
        fail(f"what is in the log can't be read: {plain(message_of(error))}", 1)
