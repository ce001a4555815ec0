"""saga reconcile: are all orders settled, whole, and undone in order, by all databases and the log?"""

import asyncio
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from saga_cli.ops.options import AsJson
from saga_cli.targets import Targets, found
from saga_cli.terminal import console, plain, print_json

if TYPE_CHECKING:
    from guarantees.judge import JudgeReport

SHOWN: Final = 20
LOOK_AGAIN_S: Final = 0.5


def reconcile(
    *,
    wait: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds in which orders may settle.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare the books of all five services with the log and each other; exit 1 if they disagree.

    An order that is on its way counts as a difference (G1): let orders settle first, or use --wait.
    """
    from saga_cli.one_line import in_one_line  # noqa: PLC0415 - with all that reads it is slow

    unread: list[str] = []
    with in_one_line():
        report = asyncio.run(_looked(found(), time.monotonic() + wait, unread))
    if unread:
        sys.stderr.write(f"saga: {len(unread)} can't be read, such as {plain(unread[0])}\n")
    if as_json:
        print_json(asdict(report))
    else:
        _print(report)
    if not report.is_clean:
        raise typer.Exit(1)


async def _looked(places: Targets, deadline: float, unread: list[str]) -> "JudgeReport":
    from saga_cli.verify.reconcile import reconcile_at  # noqa: PLC0415 - as above

    while True:
        unread.clear()
        report = await reconcile_at(places.store_of, places.kafka_bootstrap, unread)
        if report.is_clean or time.monotonic() >= deadline:
            return report
        await asyncio.sleep(LOOK_AGAIN_S)


def _print(report: "JudgeReport") -> None:
    states = ", ".join(f"{n} {state}" for state, n in sorted(report.states.items()))
    console.print(f"{report.orders} orders ({states or 'none'}), {report.events} events in the log")
    for violation in report.violations[:SHOWN]:
        console.print(plain(violation), style="red", markup=False, soft_wrap=True)
    if len(report.violations) > SHOWN:
        console.print(f"and {len(report.violations) - SHOWN} more: see --json")
    if report.is_clean:
        console.print("[green]All books agree: G1 to G4, G6 and G7 hold.[/]")
