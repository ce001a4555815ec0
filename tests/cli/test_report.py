"""`saga report` counts what the shop did, by hand and by DuckDB."""

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from saga_cli.archive.copying import Copier
from saga_cli.archive.figures import STEPS, figures
from saga_cli.archive.files import Archive
from shared_events.order import OrderCancelled
from tests.cli.memory_log import an_archive
from tests.cli.orders import DAY_ONE, DAY_TWO, OrderLog, a_shop, order_id
from tests.support.saga import saga

ONE: Final = "2026-03-01"
TWO: Final = "2026-03-02"


def archived(archive: Archive) -> Archive:
    asyncio.run(Copier(a_shop().log, archive, limit=7).to_end())
    return archive


@pytest.fixture(scope="module")
def outcome() -> dict[str, list[dict[str, Any]]]:
    return figures(archived(an_archive()))


def test_the_funnel_counts_each_order_once_on_the_day_it_was_placed(outcome: Any) -> None:
    found = {day: [s["orders"] for s in outcome["steps"] if s["day"] == day] for day in (ONE, TWO)}
    assert found == {ONE: [5, 4, 3, 3, 3, 3, 3], TWO: [2, 2, 1, 1, 1, 1, 1]}
    assert [s["step"] for s in outcome["steps"] if s["day"] == ONE] == list(STEPS)


def test_times_are_between_placing_and_each_step(outcome: Any) -> None:
    times = {s["step"]: (s["p50_ms"], s["p99_ms"]) for s in outcome["steps"] if s["day"] == ONE}
    assert times["order.placed"] == (0, 0)
    assert times["stock.reserved"] == (150.0, 394.0)
    assert times["payment.captured"] == (600.0, 1188.0)
    assert times["order.confirmed"] == (1200.0, 2376.0)


def test_reasons_are_those_of_the_orders_that_were_cancelled(outcome: Any) -> None:
    assert [tuple(row.values()) for row in outcome["reasons"]] == [
        (ONE, "card_declined", "payment", 1),
        (ONE, "customer", "order", 1),
        (ONE, "out_of_stock", "inventory", 1),
        (TWO, "card_declined", "payment", 1),
    ]


def test_money_is_counted_on_the_day_it_moved_in_its_currency(outcome: Any) -> None:
    names = ("day", "currency", "captures", "captured_minor", "refunds", "refunded_minor")
    rows = [
        (ONE, "EUR", 3, 3000, 0, 0, 0, 3000),
        (TWO, "EUR", 0, 0, 1, 860, 140, -860),
        (TWO, "SEK", 1, 2500, 0, 0, 0, 2500),
    ]
    keys = (*names, "fee_minor", "revenue_minor")
    assert outcome["money"] == [dict(zip(keys, row, strict=True)) for row in rows]


def test_what_was_written_again_or_is_no_amount_is_not_counted(outcome: Any) -> None:
    shop, archive = a_shop(), an_archive()
    places = ("payment.forward", "payment.backward")
    kept = [r for place, found in shop.log.kept.items() if place.topic in places for r in found]
    assert len(kept) > 5
    for record in kept:
        headers = tuple((n, b"another" if n == "ce_id" else raw) for n, raw in record.headers)
        at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
        shop.log.append(replace(record, headers=headers), at)
        for amount in (b'"x"', b"1e400", b"9" * 30, b"null"):
            value = re.sub(rb'("\w+_minor":)\d+', rb"\g<1>" + amount, record.value or b"")
            shop.log.append(replace(record, value=value), at)
    asyncio.run(Copier(shop.log, archive).to_end())
    assert figures(archive) == outcome


def test_a_folder_says_the_same(outcome: Any, tmp_path: Path) -> None:
    archived(Archive.at(str(tmp_path)))
    result = saga("report", "--json", SAGA_ARCHIVE=str(tmp_path))
    assert (result.code, result.json) == (0, outcome)
    shown = saga("report", "--archive", str(tmp_path))
    assert shown.code == 0
    for word in ("card_declined", "payment.captured", "SEK", "1188.0"):
        assert word in shown.out


def test_a_reason_that_looks_like_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    """It is whatever the event's sender wrote: an error for one would hide the report of all."""
    shop, id_ = OrderLog(), order_id(DAY_ONE)
    shop.confirmed(id_, DAY_ONE)
    shop.says(OrderCancelled(order_id=id_, reason="[/] [red]x", refused_by="order"), DAY_TWO)
    asyncio.run(Copier(shop.log, Archive.at(str(tmp_path))).to_end())
    shown = saga("report", "--archive", str(tmp_path))
    assert (shown.code, shown.err) == (0, "")
    assert "[/] [red]x" in shown.out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "saga archive TARGET"),
        (("--archive", "nothing-here"), "there is no archive at 'nothing-here'"),
    ],
)
def test_without_an_archive_it_says_so(
    words: tuple[str, ...], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = saga("report", *words)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert why in result.err
