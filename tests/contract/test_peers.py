"""What the peers are given is what the comparison says, and nothing of them is in the product."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from bench.peers.mix import (
    CUSTOMERS,
    DECLINED,
    FORBIDDEN,
    SKUS,
    SOLD_OUT,
    SUSPENDED,
    MixOrder,
    ending_of,
    order_of,
)
from bench.peers.run import CANT_RUN
from tests.architecture.test_tidy import TREES, imports

WITHOUT_GREENLET: Final = """
import runpy, sys
sys.modules["greenlet"] = None
runpy.run_module("bench.peers.run", run_name="__main__")
"""
ORDERS: Final = [order_of(number) for number in range(5000)]


@pytest.mark.parametrize("start", [0, 100, 4242])
def test_any_hundred_in_a_row_has_every_ending_in_its_share(start: int) -> None:
    assert Counter(ending_of(number) for number in range(start, start + 100)) == {
        "confirmed": 90,
        "out_of_stock": 3,
        "declined": 3,
        "undeliverable": 2,
        "suspended": 2,
    }


def faults(order: MixOrder) -> list[str]:
    present = {
        "out_of_stock": SOLD_OUT in dict(order.lines),
        "declined": order.token == DECLINED,
        "undeliverable": order.country == FORBIDDEN,
        "suspended": order.customer in SUSPENDED,
    }
    return [name for name, is_there in present.items() if is_there] or ["confirmed"]


def test_an_order_has_the_one_fault_that_ends_it() -> None:
    assert [faults(order) for order in ORDERS] == [[ending_of(order.number)] for order in ORDERS]


def test_orders_have_one_or_two_lines_of_all_skus() -> None:
    assert {len(order.lines) for order in ORDERS} == {1, 2}
    assert all(len(dict(order.lines)) == len(order.lines) for order in ORDERS)
    assert all(order.lines == tuple(sorted(order.lines)) for order in ORDERS)
    assert {sku for order in ORDERS for sku, _ in order.lines} == {*SKUS, SOLD_OUT}
    assert {order.customer for order in ORDERS} == set(CUSTOMERS)


@pytest.mark.long(1)
@pytest.mark.parametrize("peer", ["naive", "orchestrator"])
def test_a_peer_whose_library_is_missing_says_so_before_it_starts(peer: str) -> None:
    command = [sys.executable, "-c", WITHOUT_GREENLET, peer]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == CANT_RUN
    assert len(ended.stderr.splitlines()) == 1
    assert "greenlet" in ended.stderr
    assert "bench/peers/README.md" in ended.stderr


def test_the_product_imports_no_peer() -> None:
    importing = {
        name
        for name, tree in TREES.items()
        if any(i.startswith("bench.peers") for i in imports(tree))
    }
    own = {"tests/contract/test_peers.py"}
    own |= {"tests/architecture/test_programs.py", "tests/architecture/test_tidy.py"}
    assert {name for name in importing - own if not name.startswith("bench/")} == set()


def test_only_the_ceiling_imports_the_product() -> None:
    product = {path.parent.name for path in Path(__file__).parents[2].glob("*/__init__.py")}
    product -= {"bench", "tests"}
    importing = {
        name
        for name, tree in TREES.items()
        if name.startswith("bench/peers/")
        and {i.partition(".")[0] for i in imports(tree)} & product
    }
    assert importing == {"bench/peers/ceiling.py"}
