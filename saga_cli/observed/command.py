"""saga flow | variants | export"""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from saga_cli.archive.command import ArchiveUrl
from saga_cli.ops.options import AsJson
from saga_cli.terminal import fail, period, plain

FORMS: Final = ("text", "json", "mermaid", "svg")
EXPORTS: Final = ("ocel2", "xes", "csv")
LogFile = Annotated[
    Path | None,
    typer.Option("--log", help="A log in a file, a record a line as JSON, also packed by xz."),
]
Since = Annotated[str, typer.Option(help="Orders that began from this instant on (ISO, UTC).")]
Until = Annotated[str, typer.Option(help="Orders that began before this instant.")]


def flow(
    archive: ArchiveUrl = "",
    log: LogFile = None,
    since: Since = "",
    until: Until = "",
    form: Annotated[str, typer.Option("--format", help=f"{', '.join(FORMS)}.")] = "text",
) -> None:
    """Hold what led to what in the log against the declarations; exit 1 if an edge is undeclared."""
    check_form(form, FORMS)
    where = where_of(archive, log, since, until)
    from saga_cli.observed import running  # noqa: PLC0415 - with all that reads the log it is slow

    running.flow(**where, form=form)


def variants(
    archive: ArchiveUrl = "",
    log: LogFile = None,
    since: Since = "",
    until: Until = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Group the orders of the log by what led to what in them; rare variants have a mark."""
    where = where_of(archive, log, since, until)
    from saga_cli.observed import running  # noqa: PLC0415 - slow, see above

    running.variants(**where, as_json=as_json)


def export(
    form: Annotated[str, typer.Option("--format", help=f"{', '.join(EXPORTS)}.")] = "ocel2",
    archive: ArchiveUrl = "",
    log: LogFile = None,
    since: Since = "",
    until: Until = "",
) -> None:
    """Print the log for tools of process mining: OCEL 2.0 (JSON), XES or a table; customers by pseudonym."""
    check_form(form, EXPORTS)
    where = where_of(archive, log, since, until)
    from saga_cli.observed import running  # noqa: PLC0415 - slow, see above

    running.export(**where, form=form)


def check_form(form: str, known: tuple[str, ...]) -> None:
    if form not in known:
        fail(f"there is no format {plain(form)!r}; there are {', '.join(known)}")


def where_of(archive: str, log: Path | None, since: str, until: str) -> dict[str, Any]:
    """Which log, and which orders of it; what makes no sense ends the command with 2."""
    if archive and log:
        fail("give --archive or --log, not both")
    instants = period(since, until)
    from saga_cli.observed.cases import Period  # noqa: PLC0415 - slow, see above

    return {"archive": archive, "file": log, "period": Period(*instants)}
