"""saga replay: a service's database made anew from what the service has published."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from chassis.urls import with_password
from saga_cli.archive.command import ArchiveUrl
from saga_cli.log.source import Limit
from saga_cli.ops.options import AsJson, Yes, check_service, confirmed
from saga_cli.other_checkout import run_by
from saga_cli.targets import Targets, found, secret_in_environment
from saga_cli.terminal import fail, instant, offsets
from saga_cli.topology import BY_NAME

INTO: Final = "SAGA_INTO_PASSWORD"
OFFSETS_LIKE: Final = "payment.forward/0=1200,payment.facts/0=1300"


Into = Annotated[
    str,
    typer.Option(
        help="The URL of a new, empty database or Redis; its password: SAGA_INTO_PASSWORD."
    ),
]
InPlace = Annotated[
    bool, typer.Option("--in-place", help="Empty and rebuild the service's own store.")
]
CopyOption = Annotated[
    bool, typer.Option("--copy", help="For inspection: the service's Kafka offsets stay.")
]
OverHoles = Annotated[
    bool, typer.Option("--over-holes", help="Continue where the log lacks an event of an order.")
]
ReplayUntil = Annotated[
    str,
    typer.Option(help=f"An instant (ISO, UTC), or offsets such as {OFFSETS_LIKE}; makes a copy."),
]
CodeOption = Annotated[
    Path | None,
    typer.Option(help="Folder of another checkout, whose rules are used; makes a copy."),
]


def replay(  # noqa: PLR0913 - each is an option
    service: Annotated[str, typer.Argument(help="Such as payment.")],
    *,
    into: Into = "",
    in_place: InPlace = False,
    yes: Yes = False,
    copy: CopyOption = False,
    until: ReplayUntil = "",
    code: CodeOption = None,
    archive: ArchiveUrl = "",
    over_holes: OverHoles = False,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0 for one a core.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Rebuild a service's store from the log, so that the service can continue from there.

    No provider is called. An interrupted replay resumes when the same command is run again.
    """
    check_service(service)
    if bool(into) == in_place:
        fail("give --into URL, or --in-place")
    if in_place and (copy or until or code):
        fail("--copy, --until and --code are for --into: a service can't go on from there")
    if code is not None:
        words = [service, "--into", into, "--copy", *["--until", until] * bool(until)]
        words += ["--jobs", str(jobs), *["--json"] * as_json]
        raise typer.Exit(run_by(code, "replay", words, archive))
    places, limit = found(), limit_of(until)
    if in_place:
        confirmed(f"This empties {service}'s own store and fills it from the log. Go on?", yes=yes)
    url = _with_its_password(into) if into else _own(places, service)
    from saga_cli.replay import running  # noqa: PLC0415 - with all that reads it is slow
    from saga_cli.replay.job import Job  # noqa: PLC0415

    workers, is_copy = jobs or os.cpu_count() or 1, copy or bool(limit)
    job = Job(service, url, places, in_place, is_copy, limit, archive, workers, over_holes)
    running.run(job, as_json=as_json)


def limit_of(text: str) -> Limit:
    if "=" not in text:
        return Limit(instant(text))
    return Limit(offsets=offsets(text, OFFSETS_LIKE))


def _with_its_password(into: str) -> str:
    """That of INTO, as a password in the arguments is shown by `ps`."""
    try:
        return with_password(into, secret_in_environment(INTO).read())
    except ValueError as error:
        fail(f"{INTO}: {error}")


def _own(places: Targets, service: str) -> str:
    url = places.owned_store_of(service)
    if places.addresses is not None and BY_NAME[service].has_database:
        from saga_cli.stack import postgres  # noqa: PLC0415 - slow, see above

        postgres.create_databases(places.addresses)  # it may be what was lost
    return url
