"""saga lint: the declarations of all services, held against the rules of a choreography."""

from dataclasses import asdict
from typing import Annotated

import typer

from guarantees.counts import counted
from saga_cli.ops.options import AsJson
from saga_cli.terminal import console, plain, print_json, write


def lint(
    against: Annotated[
        str, typer.Option(help="The schemas of before, as for `schema check`; the newest stored.")
    ] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Look for faults of the choreography in its declarations; exit 1 if there is one.

    unread: an event that nobody consumes, though it is no fact of its owner. unpublished: one that is waited
    for and never comes. foreign-fact: a consumer of another's private fact. uncompensated: a forward step
    without a way back. endless: a path on which no order settles. unlimited: a cycle without a count of
    attempts. breaking: a schema that a consumer can't read.
    """
    from saga_cli.lint.declarations import here  # noqa: PLC0415 - with all services it is slow
    from saga_cli.lint.rules import RULES, findings  # noqa: PLC0415
    from saga_cli.schema import sources  # noqa: PLC0415
    from saga_cli.schema.comparing import changes  # noqa: PLC0415

    before = sources.vocabulary(against or str(sources.newest_stored()))
    declared = here(tuple(changes(before, sources.here())))
    found = findings(declared)
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            write(plain(f"{finding.rule}: {finding.about}: {finding.why}"), "red")
        counts = (
            f"{len(declared.services)} services, {len(declared.events)} events, {len(RULES)} rules"
        )
        console.print(f"{counts}: {counted(len(found), 'finding')}.")
    if found:
        raise typer.Exit(1)
