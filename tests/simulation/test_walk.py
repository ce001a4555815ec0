"""One order's walk is as docs/architecture.md has it: its hops, its transactions, and their calls."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from chassis.bus import Committed
from chassis.process.settings import ALL_FAST_PATHS, FastPath
from inventory_svc.messages import SetStock
from inventory_svc.service import SERVICE
from inventory_svc.store import STOCK
from order_svc.messages import PlaceOrder
from shared_events.order import OrderPlaced
from simulation.database import Database
from simulation.memory_inspection import MemoryInspection
from simulation.memory_store import MemoryStore
from simulation.plan import Plan
from simulation.system import SimulatedSystem, simulated
from tests.integration.test_transactions import command
from tests.support.opened import Opened
from tests.support.records import a_message, an_order

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "architecture.md").read_text()
SECTION: Final = PAGE[PAGE.index("## One order's walk") :].split("\n## ", 2)[0]
HOPS: Final = re.findall(r"^\| \d+ \| `([\w/.]+)` \| `([\w.]+)` \|", SECTION, re.MULTILINE)
OURS: Final = ("chassis/", "shared_events/", "inventory_svc/")


@contextmanager
def calls_to(seen: Callable[[str, str, Any], None]) -> Iterator[None]:
    """Each call of a function of ours: its file, its name, and its frame."""

    def profile(frame: Any, event: str, _arg: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(ROOT)):
            seen(code.co_filename.removeprefix(f"{ROOT}/"), code.co_qualname, frame)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def number(pattern: str) -> int:
    found = re.search(pattern, SECTION)
    assert found is not None, f"the page does not say {pattern}"
    return int(found[1])


def test_an_order_passes_these_hops_in_this_order_and_makes_so_many_transactions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[str, str]] = []
    transactions: list[str] = []
    order_ids: set[str] = set()

    def note(file: str, name: str, frame: Any) -> None:
        message = frame.f_locals.get("message")
        if name == "Commands.execute" and isinstance(message.body, PlaceOrder):
            calls.clear()
            order_ids.add(message.key)
        calls.append((file, name))

    decided = SimulatedSystem.on_decided

    def noting(system: SimulatedSystem, service: str, event: Committed) -> None:
        decided(system, service, event)
        if order_ids & {message.key for message in event.messages}:
            transactions.append(service)

    monkeypatch.setattr(SimulatedSystem, "on_decided", noting)
    quiet = Plan(
        seed=2, orders=1
    )  # in which no member that joins late has a message delivered again
    with simulated(quiet) as system, calls_to(note):
        system.run()
    at = 0
    for hop in HOPS:
        assert hop in calls[at:], f"{hop} is not passed after the hops before it"
        at = calls.index(hop, at) + 1
    print(f"{len(HOPS)} hops; transactions of {', '.join(transactions)}")
    assert len(HOPS) == number(r"(\d+)\s+hops")
    until_confirmed = len(transactions) - transactions[::-1].index("order")
    assert until_confirmed == number(r"(\d+)\s+transactions")
    assert sorted(transactions[until_confirmed:]) == ["inventory", "shipping"]


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (ALL_FAST_PATHS, r"at\s+most\s+(\d+)\s+calls"),
        (frozenset[FastPath](), r"fast\s+paths\s+off\s+at\s+most\s+(\d+)"),
    ],
    ids=["all fast paths", "none"],
)
async def test_a_transaction_makes_no_more_calls_than_the_page_says(
    paths: frozenset[FastPath], says: str
) -> None:
    store = MemoryStore(SERVICE, Database(), STOCK)
    opened = Opened.of(SERVICE, store, MemoryInspection(store), fast_paths=paths)
    order = an_order()
    stock = [command(line.sku, SetStock(sku=line.sku, on_hand=9)) for line in order.lines]
    await opened.handle([*stock, a_message(OrderPlaced(order=an_order()), 1)])
    message, calls = a_message(OrderPlaced(order=order), 2), list[str]()
    with calls_to(lambda file, name, _: calls.append(f"{file} {name}")):
        await opened.handle([message])
    ours = [call for call in calls if call.startswith(OURS)]
    print(f"{len(ours)} calls: {', '.join(dict.fromkeys(ours))}")
    most = number(says)
    assert most - 25 < len(ours) <= most
