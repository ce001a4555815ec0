"""The process as it runs, of the newest orders that meet a filter: variants, and edges as declared."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request, Response

from chassis.http import open_to
from console.queries import PROCESS
from console.web.context import Console
from console.web.filters import FilterError, parse
from console.web.orders_pages import CHIPS, FilterQuery, resolved
from console.web.rendering import page
from console.web.session import LOOK, viewer_of
from saga_cli.observed.cases import Case
from saga_cli.observed.flow import EdgeStatus, Flow
from saga_cli.observed.variants import Variants

URGENT: Final = (EdgeStatus.UNDECLARED, EdgeStatus.DECLARED, EdgeStatus.UNSEEN)


def add_process(app: FastAPI, console: Console) -> None:
    @app.get("/process", include_in_schema=False)
    @open_to(LOOK)
    async def show_process(request: Request, wanted: FilterQuery = "") -> Response:
        viewer = viewer_of(request)
        cases, wrong = list[Case](), ""
        try:
            asked = await resolved(console.queries, console.services, parse(wanted), viewer.token)
            cases = await console.queries.process(asked)
        except FilterError as error:
            wrong = str(error)
        values = {"wanted": wanted, "wrong": wrong, "chips": CHIPS, **observed(cases)}
        return page(request, "process.html", viewer, 422 if wrong else 200, **values)


def observed(cases: list[Case]) -> Mapping[str, Any]:
    """`counts` are edges by what becomes of them; those that were seen come first."""
    flow, variants = Flow(), Variants()
    flow.add(cases)
    variants.add(cases)
    edges = sorted(flow.edges(), key=lambda edge: URGENT.index(edge.status))
    return {
        "edges": edges,
        "counts": Counter(edge.status for edge in edges),
        "variants": variants.found(),
        "orders": len(cases),
        "is_cut": len(cases) == PROCESS,
    }
