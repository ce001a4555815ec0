"""A result as people read it: at a terminal, or in a page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table as Drawn


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def drawn(self) -> Drawn:
        table = Drawn(*self.columns, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*map(formatted, row))
        return table

    def markdown(self) -> str:
        return "\n".join((f"### {self.title}", "", *self._lines(), ""))

    def _lines(self) -> Iterator[str]:
        yield f"| {' | '.join(self.columns)} |"
        yield f"|{'---|' * len(self.columns)}"
        for row in self.rows:
            yield f"| {' | '.join(map(formatted, row))} |"


def formatted(value: Any) -> str:
    """Three digits are enough of what moves by some percent from run to run."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004
    return f"{value:,}" if isinstance(value, int) else str(value)
