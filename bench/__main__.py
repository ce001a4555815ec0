"""The product and other tools on the same servers: tables, pictures and all figures in a folder.

`python -m bench --out docs/performance`; scenarios as `saga bench` has them, then the peers.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from bench.command import OWN, SCENARIOS, USUAL, ScenarioResult, finish, run, session_of
from bench.compare import compare
from bench.peers.run import PEERS
from bench.plots import draw
from bench.session import Bench
from saga_cli.main import Backlog, OrdersOption, Quick, Rate, Scenarios, SecondsOption, Sizes
from saga_cli.terminal import OneLineCommand, console, fail

COMPARE: Final = "compare"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=OneLineCommand)
def main(  # noqa: PLR0913, PLR0917 - each is an option
    scenarios: Scenarios = None,
    peers: Annotated[str, typer.Option(help="To compare with, by commas.")] = ",".join(PEERS),
    out: Annotated[Path, typer.Option(help="The folder of what is written.")] = Path(
        "docs/performance"
    ),
    rate: Rate = None,
    seconds: SecondsOption = None,
    orders: OrdersOption = None,
    backlog: Backlog = None,
    sizes: Sizes = "",
    *,
    quick: Quick = False,
) -> None:
    """Measure as `saga bench` does, compare with peers, and write tables, figures and pictures.

    Without a scenario: the usual ones, and compare.
    """
    if unknown := set(peers.split(",")) - set(PEERS):
        fail(f"there is no peer {unknown.pop()!r}; there are {', '.join(PEERS)}")
    figures = {"rate": rate, "seconds": seconds, "orders": orders, "backlog": backlog}
    names = scenarios or [*USUAL, COMPARE]
    session = session_of(names, (*SCENARIOS, COMPARE), figures, sizes, quick=quick)

    def keep(document: bytes, results: Mapping[str, ScenarioResult]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_bytes(document)
        pages = [result.table().markdown() for result in results.values()]
        (out / "tables.md").write_text("\n".join(("# Measured", "", *pages)), "utf-8")
        draw(*list(results.items())[-1], out)

    finish(session, measured(session, names, peers.split(",")), keep)
    session.print_line(f"tables, figures and pictures: {out}")


def measured(
    session: Bench, names: Sequence[str], peers: Sequence[str]
) -> Iterator[tuple[str, ScenarioResult]]:
    """What shares servers, the comparison on the same ones, then what needs its own."""
    yield from run([name for name in names if name not in OWN], session)
    if COMPARE in names:
        found = compare(session, peers)
        console.print(found.table().drawn())
        yield COMPARE, found
        session.close()
    yield from run([name for name in names if name in OWN], session)


if __name__ == "__main__":
    app()
