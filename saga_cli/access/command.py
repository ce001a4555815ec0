"""The commands `saga acl` and `saga topics apply`."""

import asyncio
import sys
from typing import Annotated

import typer
from aiokafka.errors import ClusterAuthorizationFailedError

from guarantees.counts import counted
from saga_cli.access.shown import Format
from saga_cli.ops.options import AsJson
from saga_cli.terminal import fail, named, print_json, write

Moving = Annotated[
    bool,
    typer.Option(
        "--moving",
        help="With what a move between layouts of topics takes, until its last step is done.",
    ),
]
Partitions = Annotated[
    int | None,
    typer.Option(min=1, max=1000, help="Of each topic of events; one that has fewer gets more."),
]
Copies = Annotated[
    int | None, typer.Option(min=1, max=9, help="Of each new partition; up to 3 without it.")
]


def acl(
    form: Annotated[Format, typer.Option("--format", help="As what they are printed.")] = (
        Format.KAFKA_ACLS
    ),
    principal: Annotated[str, typer.Option(help="Names, by commas; all without one.")] = "",
    cluster: Annotated[str, typer.Option(help="The name of Strimzi's Kafka.")] = "kafka",
    *,
    moving: Moving = False,
) -> None:
    """Print the rights on Kafka that each service needs, as its declaration says.

    Principals are named as the services; `reader` is for commands that only read the log.
    """
    from saga_cli.access import rights, shown  # noqa: PLC0415 - with all services it is slow

    chosen = named(principal, rights.PRINCIPALS, "principal") or rights.PRINCIPALS
    found = [right for right in rights.rights(moving=moving) if right.principal in chosen]
    sys.stdout.write(shown.shown(found, form, cluster))


def apply(
    partitions: Partitions = None,
    copies: Copies = None,
    *,
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit 1 where something has to be changed."),
    ] = False,
    moving: Moving = False,
    as_json: AsJson = False,
) -> None:
    """Make the topics and the rights on Kafka that the services need, as an administrator.

    Topics get the declared settings; their retention stays as it is where it was chosen. Rights of the
    services that are not declared are taken back. What is as it should be is left alone.
    """
    from saga_cli.access.applying import brought  # noqa: PLC0415 - with all services it is slow
    from saga_cli.clients import in_one_line  # noqa: PLC0415
    from saga_cli.targets import found  # noqa: PLC0415

    with in_one_line():
        try:
            plan = asyncio.run(
                brought(found().kafka, partitions, copies, is_check=check, is_moving=moving)
            )
        except ClusterAuthorizationFailedError:
            fail(
                "Kafka gives this user no right to see or change rights: it takes an administrator's"
            )
    if as_json:
        print_json({"changes": plan.changes, "notes": plan.notes, "changed": not check})
    else:
        for line in plan.changes:
            write(line)
        for line in plan.notes:
            write(f"note: {line}")
        write(_summary(len(plan.changes), is_check=check))
    if check and plan.changes:
        raise typer.Exit(1)


def _summary(changes: int, *, is_check: bool) -> str:
    if not changes:
        return "Nothing has to be changed."
    return f"{counted(changes, 'change')} {'to make' if is_check else 'made'}."
