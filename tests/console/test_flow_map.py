"""The map: every place where an order can wait is on it, in words beside the picture."""

import re
from datetime import timedelta
from itertools import pairwise
from typing import Final
from urllib.parse import unquote

import pytest

from console import flow
from console.model import EdgeKind
from console.web.flow_map import SERVICES, Marks, Notes, arrows, drawn, in_words, laid_out
from tests.support.console_sample import AT, a_standing

OWN: Final = {EdgeKind.CALL, EdgeKind.TIMER}


def edges_linked(picture: str) -> list[str]:
    links = re.findall(r'href="/orders\?filter=([^"]+)"', picture)
    return [edge for link in links for edge in unquote(link).removeprefix("edge:").split(",")]


def test_each_edge_of_the_flow_is_drawn_once_and_leads_to_its_orders() -> None:
    picture = drawn(a_standing().edges, AT)
    assert sorted(edges_linked(picture)) == sorted(edge.id for edge in flow.EDGES)


def test_an_edge_says_how_many_wait_and_since_when() -> None:
    picture = drawn(a_standing({"stock.reserved>payment": 12}).edges, AT)
    words = "stock.reserved 12 12 s waiting from inventory to payment"
    assert f'aria-label="{words}"' in picture
    assert 'class="busy"' in picture
    assert 'class="late"' not in picture


def test_a_long_wait_is_marked_and_that_for_a_timer_is_not() -> None:
    late = drawn(a_standing({"payment:Capture": 5}).edges, AT + timedelta(minutes=2))
    assert 'class="late"' in late
    timer = next(edge.id for edge in flow.EDGES if edge.kind is EdgeKind.TIMER)
    waiting = drawn(a_standing({timer: 5}).edges, AT + timedelta(minutes=2))
    assert 'class="late"' not in waiting


def test_the_way_of_one_order_is_painted_without_counts() -> None:
    marks = Marks(
        {"order.placed>inventory"}, {"stock.reserved>payment"}, {"payment.captured>shipping"}
    )
    picture = drawn(a_standing().edges, AT, marks=marks)
    assert [picture.count(sign) for sign in ("✓", "●", "…")] == [1, 1, 1]
    assert edges_linked(picture) == []
    assert "waiting" not in picture


def test_a_box_says_what_is_wrong_with_its_service_and_nothing_of_it_is_markup() -> None:
    picture = drawn(a_standing().edges, AT, {"payment": Notes(("<b>no answer</b>",))})
    assert "▲ &lt;b&gt;no answer&lt;/b&gt;" in picture
    assert picture.count('class="node bad"') == 1


def test_arcs_of_a_lane_do_not_cross() -> None:
    standing = a_standing()
    inner = [each for each in standing.edges if each.edge.kind in OWN]
    layout = laid_out(arrows(e for e in standing.edges if e not in inner), inner)
    for lanes in (layout.above, layout.below):
        assert list(lanes) == list(range(len(lanes)))
        for arcs in lanes.values():
            places = sorted(
                sorted((SERVICES.index(a.source), SERVICES.index(a.target))) for a in arcs
            )
            assert all(one[1] < two[0] for one, two in pairwise(places))


@pytest.mark.parametrize(
    ("kind", "words"), [("CancelBooking", "cancel booking"), ("Capture", "capture"), ("", "")]
)
def test_a_kind_is_read_as_words(kind: str, words: str) -> None:
    assert in_words(kind) == words
