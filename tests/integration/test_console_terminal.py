"""An incident from the terminal alone, as docs/incident.md has it, over real services."""

import json
import re
from collections.abc import Iterator
from typing import Final

import pytest

from saga_cli.stack import with_console
from saga_cli.stack.services import Services
from saga_cli.topology import CONSOLE
from tests.support.broken_payment import mend, payment_broken
from tests.support.saga import Ended, operating, settles
from tests.support.shop import checkout
from tests.support.waiting import until

ORDERS: Final = 3


@pytest.fixture(scope="module")
def console(stack: Services) -> Iterator[None]:
    instance = with_console.start(stack)
    yield
    stack.instances.remove(instance)
    code = instance.process.stop()
    instance.port.release()
    assert code == 0


@pytest.fixture
def broken_payment(stack: Services) -> Iterator[None]:
    with payment_broken(stack):
        yield


def typed(stack: Services, *words: str) -> Ended:
    """A command as an operator gives it who has no browser."""
    database = stack.addresses.database_url(CONSOLE)
    return operating(stack, *words, CONSOLE_DATABASE_URL=database)


@pytest.mark.usefixtures("console", "broken_payment")
def test_payment_breaks_and_from_the_terminal_alone_all_is_found_and_mended(
    stack: Services,
) -> None:
    orders = [checkout(stack, wait_s=0).json()["order_id"] for _ in range(ORDERS)]

    def waiting() -> set[str]:
        lines = typed(stack, "orders", "flight:yes", "step:payment", "--json").out.splitlines()
        return {json.loads(line)["id"] for line in lines}.intersection(orders)

    until(lambda: len(waiting()) == ORDERS, what="the orders that wait for payment")
    group = until(lambda: _broken_group(stack), what="their group")
    assert re.search(r"payment +\S+ stock\.reserved ", typed(stack, "top", "--once").out)
    why = typed(stack, "why", orders[0]).out
    assert "Next: payment\n  payment parked stock.reserved.v1, tried 1 time: " in why
    assert typed(stack, "failures", "repair", group, "--dry-run").out.endswith("3 goes on\n")
    mend(stack)
    note = ("--note", "the constraint is gone")
    one = typed(stack, "failures", "repair", group, orders[0], *note)
    assert (one.code, "redrive: done: 1 acted, 0 refused, 0 ignored of 1" in one.out) == (0, True)
    others = typed(stack, "failures", "repair", group, *note)
    assert (others.code, "done: 2 acted, 0 refused, 0 ignored of 2" in others.out) == (0, True)
    until(lambda: not waiting(), what="nothing waits for payment")
    for order_id in orders:
        settles(stack, order_id)
    trail = typed(stack, "dead-letters", "actions", "payment", orders[1], "--json").json
    assert [(each["action"], each["note"]) for each in trail] == [("redrive", note[1])]


def _broken_group(stack: Services) -> str:
    found = json.loads(typed(stack, "failures", "list", "--json").out)
    groups = [each for each in found if "broken" in each["error"] and each["orders"] == ORDERS]
    return groups[0]["group"] if groups else ""
