"""The bench's arithmetic: what is ordered, when, and what is made of the observations."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from bench.__main__ import app as bench_app
from bench.plan import PLAN, WARES, LoadPhase, LoadPlan, carts, schedule
from bench.report import (
    TICK_S,
    Observed,
    ObservedAnswer,
    Settled,
    Tick,
    latency,
    percentiles,
    reported,
)
from bench.scenarios.steady import is_sustained
from bench.scenarios.switched import FIGURES, ComparedScenario
from bench.scenarios.troubled import calm_after, recovered
from bench.tables import Table
from saga_cli.main import app
from saga_cli.stack.binaries import MissingProgramError


def planned(*phases: LoadPhase, **more: object) -> LoadPlan:
    return PLAN.validate_python(
        {"urls": ("http://127.0.0.1:1",), "kafka": "127.0.0.1:2", "phases": phases, **more}
    )


def kind_of(cart: bytes) -> str:
    order = json.loads(cart)
    if order["lines"][0]["sku"] == "SOLD-OUT":
        return "sold out"
    if order["payment_token"] == "tok_declined":
        return "declined"
    if order["country"] == "AQ":
        return "undeliverable"
    return "suspended" if order["customer_id"] == "mallory" else "good"


def test_each_hundred_orders_are_of_the_same_mix() -> None:
    placed = list(islice(carts(7), 300))
    mix = {"good": 90, "sold out": 3, "declined": 3, "undeliverable": 2, "suspended": 2}
    for hundred in (placed[:100], placed[100:200], placed[200:]):
        assert Counter(map(kind_of, hundred)) == mix


def test_a_seed_repeats_its_orders() -> None:
    assert list(islice(carts(3), 50)) == list(islice(carts(3), 50))
    assert list(islice(carts(3), 50)) != list(islice(carts(4), 50))


def test_hot_orders_want_one_sku_or_are_of_one_customer() -> None:
    sku = [json.loads(cart) for cart in islice(carts(1, "one sku"), 100)]
    wanted = {line["sku"] for order in sku for line in order["lines"]}
    assert wanted == {WARES[0], "SOLD-OUT"}
    customer = [json.loads(cart) for cart in islice(carts(1, "one customer"), 100)]
    assert {order["customer_id"] for order in customer} == {"c-0", "mallory"}


def test_steady_arrivals_come_at_even_distances() -> None:
    due = list(schedule(planned(LoadPhase(10, 1), LoadPhase(4, 1), arrivals="steady")))
    assert due[:2] == pytest.approx([0.1, 0.2])
    assert due[-3:] == pytest.approx([1.25, 1.5, 1.75])


def test_poisson_arrivals_keep_the_rate_and_come_in_order() -> None:
    due = list(schedule(planned(LoadPhase(500, 20), seed=5)))
    assert due == sorted(due)
    assert len(due) == pytest.approx(10_000, rel=0.05)
    assert due[0] > 0
    assert due[-1] < 20


def test_a_histogram_keeps_the_tail_through_its_encoding() -> None:
    found = latency([0.001] * 999 + [2.0])
    assert (found.count, found.p50_ms, found.p99_ms) == (1000, 1.0, 1.0)
    assert found.max_ms == pytest.approx(2000, rel=0.001)
    assert percentiles(found, (50, 100)) == [found.p50_ms, found.max_ms]


def test_a_latency_beyond_the_scale_counts_as_its_end() -> None:
    assert latency([3600.0]).max_ms == pytest.approx(60_000, rel=0.001)
    assert latency([0.0]).max_ms == pytest.approx(0.001)


def seen_of(settled_at: float = 1.5) -> Observed:
    answered = [
        ObservedAnswer(0.1, 0.2, 201, says_when=False),
        ObservedAnswer(1.0, 1.1, 201, says_when=False),
        ObservedAnswer(1.2, 1.3, 429, says_when=True),
        ObservedAnswer(1.4, 1.5, 0, says_when=False),
    ]
    settled = [Settled(0.1, 0.9, "confirmed"), Settled(1.0, settled_at, "card_declined")]
    return Observed(late=[0.0] * 4, answered=answered, settled=settled)


def test_a_report_adds_up() -> None:
    found = reported(planned(LoadPhase(2, 2)), seen_of())
    assert (found.offered, found.sent, found.accepted, found.refused) == (4, 4, 2, 1)
    assert (found.confirmed, found.cancelled, found.unsettled) == (1, {"card_declined": 1}, 0)
    assert found.refused_with_retry_after == 1
    assert found.answers == {"0": 1, "201": 2, "429": 1}
    assert found.settled_per_s == 1.0
    assert sum(tick.settled for tick in found.ticks) == found.settled
    assert found.ticks[-1].backlog == 0


def test_what_settles_after_the_load_is_not_in_its_rate() -> None:
    assert reported(planned(LoadPhase(2, 2)), seen_of(settled_at=5.0)).settled_per_s == 0.5


def test_what_was_due_while_it_was_cold_is_in_no_percentile() -> None:
    found = reported(planned(LoadPhase(2, 2), warm_s=0.5), seen_of())
    assert (found.http.count, found.end_to_end.count) == (2, 1)


def test_a_rate_is_not_sustained_by_refusing() -> None:
    assert not is_sustained(reported(planned(LoadPhase(1, 2)), seen_of()), 1.0)


def test_calm_is_two_seconds_without_a_break() -> None:
    ticks = [Tick(n * TICK_S) for n in range(40)]
    assert calm_after(ticks, 2.0, lambda n: n >= 20) == 3.0
    assert calm_after(ticks, 2.0, lambda n: n % 8 != 0) is None


def test_a_system_has_recovered_when_its_backlog_is_gone() -> None:
    calm = [Tick(n * TICK_S, accepted=10, settled=10, backlog=20) for n in range(40)]
    still = [Tick(t.at_s, 10, 0, 0, 20 + 10 * n) for n, t in enumerate(calm[20:28])]
    late = [Tick(t.at_s, 10, 30, 0, 80 - 20 * n) for n, t in enumerate(calm[28:31])]
    ticks = (*calm[:20], *still, *late, *calm[31:])
    settled = [Settled(t.at_s, t.at_s, "confirmed") for t in ticks for _ in range(t.settled)]
    found = reported(planned(LoadPhase(40, 10)), Observed(settled=settled))
    assert recovered(found, 1.0, 5.0) is not None
    assert recovered(found, 1.0, 5.0) == pytest.approx(2.0, abs=1.0)


def test_a_table_reads_the_same_in_a_page() -> None:
    table = Table("Rates", ("what", "found"), [("a", 1234.5), ("b", 0.5)])
    assert table.markdown().splitlines()[2:] == [
        "| what | found |",
        "|---|---|",
        "| a | 1,234 |",
        "| b | 0.5 |",
    ]


@pytest.mark.parametrize(
    "words",
    [["nosuch"], ["--rate", "-3"], ["--orders", "0"], ["growth", "--sizes", "1e6"]],
)
@pytest.mark.parametrize(("program", "command"), [(app, ["bench"]), (bench_app, [])])
def test_what_makes_no_sense_is_told_in_one_line(
    program: Typer, command: list[str], words: list[str]
) -> None:
    result = CliRunner().invoke(program, [*command, *words])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.long(1)
def test_a_program_that_is_missing_ends_the_bench_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measured(*_: object) -> Iterator[Any]:
        raise MissingProgramError("there is no Java here")
        yield

    monkeypatch.setattr("bench.__main__.measured", measured)
    result = CliRunner().invoke(bench_app, ["cost"])
    assert (result.exit_code, result.stderr) == (2, "saga: there is no Java here\n")


@pytest.mark.long(4)
def test_the_bench_is_a_module_to_run() -> None:
    command = [sys.executable, "-m", "bench", "nosuch"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("saga: there is no scenario 'nosuch'; there are capacity, ")


def test_what_security_costs_is_told_as_means_and_as_the_range_of_the_pairs() -> None:
    """The changes are those within a pair: a machine that gets slower between them changes nothing."""

    def a_load(*figures: float) -> Any:
        return SimpleNamespace(figures=figures)

    pairs = [
        (a_load(1000, 100, 2000, 10, 5), a_load(1100, 90, 2200, 11, 5)),
        (a_load(2000, 100, 4000, 10, 5), a_load(2400, 80, 4000, 12, 5)),
    ]
    table = ComparedScenario("A secured system", ("plain", "secured"), pairs).table()
    plain, secured, more = table.rows
    assert table.columns == ("", *FIGURES)
    assert plain == ("plain", 1500, 100, 3000, 10, 5)
    assert secured == ("secured", 1750, 85, 3100, 11.5, 5)
    assert more[:3] == (*("more", "+15.0% (+10.0% to +20.0%)", "-15.0% (-20.0% to -10.0%)"),)
