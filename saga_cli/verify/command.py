"""saga reconcile | verify: do the books agree, and does the log add up to what is live?"""

from pathlib import Path
from typing import Annotated

import typer

from saga_cli.archive.command import ArchiveUrl
from saga_cli.ops.options import AsJson, chosen
from saga_cli.other_checkout import run_by
from saga_cli.terminal import fail, period


def reconcile(
    *,
    wait: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds in which orders may settle.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Check the stores of all services against the log and each other; exit 1 if they disagree.

    An order that has not settled counts as a difference (G1): let orders settle first, or use --wait.
    """
    from saga_cli.verify.reconcile import run  # noqa: PLC0415 - with all that reads it is slow

    run(wait, as_json=as_json)


def verify(
    service: Annotated[str, typer.Argument(help="Such as payment; default: all services.")] = "",
    *,
    decide: Annotated[
        bool,
        typer.Option("--decide", help="Also make each decision in the log again, and compare."),
    ] = False,
    since: Annotated[str, typer.Option(help="Decisions from this instant on (ISO, UTC).")] = "",
    until: Annotated[str, typer.Option(help="Decisions before this instant.")] = "",
    code: Annotated[
        Path | None, typer.Option(help="Folder of another checkout, whose rules are used.")
    ] = None,
    archive: ArchiveUrl = "",
    as_json: Annotated[bool, typer.Option("--json", help="All of it, for programs.")] = False,
) -> None:
    """Rebuild services from the log and compare them with their live stores; exit 1 if they differ."""
    names = chosen(service)
    if (since or until or code) and not decide:
        fail("--since, --until and --code are for --decide")
    instants = period(since, until)
    if code is not None:
        limits = [*("--since", since) * bool(since), *("--until", until) * bool(until)]
        words = ["--decide", *filter(None, [service]), *limits, *["--json"] * as_json]
        raise typer.Exit(run_by(code, "verify", words, archive))
    from saga_cli.verify import running  # noqa: PLC0415 - slow, see above
    from saga_cli.verify.deciding import EVER, Window  # noqa: PLC0415

    window = Window(instants[0] or EVER.since, instants[1] or EVER.until) if decide else None
    running.run(names, window, archive, as_json=as_json)
