"""What loyalty projects of the customers topic, on a simulated Redis: found and erased in both directions."""

import asyncio
from typing import Final

import pytest

from chassis.message import Record
from loyalty_svc.store import PSEUDONYMS
from shared_events.catalog import CUSTOMERS
from shared_events.order import CustomerIdentified
from tests.simulation.loyalty import Loyalty, VirtualTime
from tests.support.records import a_record

ONE: Final = CustomerIdentified(pseudonym="cus_1", customer_id="alice")
ANOTHER: Final = CustomerIdentified(pseudonym="cus_2", customer_id="bob")
AGAIN: Final = CustomerIdentified(pseudonym="cus_3", customer_id="alice")


@pytest.fixture
def loyalty(monkeypatch: pytest.MonkeyPatch) -> Loyalty:
    VirtualTime().replace(monkeypatch)
    made = Loyalty()
    made.replace(monkeypatch)
    return made


def tombstone(event: CustomerIdentified) -> Record:
    return Record(CUSTOMERS, 0, 9, event.pseudonym.encode(), None, ())


def found(loyalty: Loyalty, *batches: list[Record]) -> dict[str, str | None]:
    """Pseudonyms by customer, once all of it is projected."""

    async def run() -> dict[str, str | None]:
        store = (await loyalty.connect()).store
        await store.prepare(asyncio.Event())
        for batch in batches:
            await store.project(batch)
        return {name: await PSEUDONYMS.key_of(store, name) for name in ("alice", "bob")}

    return asyncio.run(run())


def test_a_customer_is_found_by_name(loyalty: Loyalty) -> None:
    both = [a_record(ONE), a_record(ANOTHER)]
    assert found(loyalty, both) == {"alice": "cus_1", "bob": "cus_2"}
    assert found(loyalty, both) == {"alice": "cus_1", "bob": "cus_2"}


def test_a_tombstone_leaves_nothing_of_a_customer(loyalty: Loyalty) -> None:
    given = [a_record(ONE), a_record(ANOTHER)]
    assert found(loyalty, given, [tombstone(ONE)]) == {"alice": None, "bob": "cus_2"}
    kept = repr(loyalty.redis.data.values)
    assert ("alice" in kept, "bob" in kept) == (False, True)


def test_an_old_tombstone_takes_nothing_from_a_customer_who_came_back(loyalty: Loyalty) -> None:
    """Records of two pseudonyms are in two partitions, and may come in any order."""
    one, again, erased = a_record(ONE), a_record(AGAIN), tombstone(ONE)
    for batches in (([one], [erased], [again]), ([one], [again], [erased])):
        assert found(loyalty, *batches)["alice"] == "cus_3"
