"""What the inbox calls a message: its order's time first, and no other message's name."""

from uuid import UUID, uuid1, uuid4

from hypothesis import given
from hypothesis import strategies as st

from chassis.events import event_id
from chassis.ids import entry_of, new_id

ORDER = new_id()
KEYS = st.sampled_from([ORDER, new_id(), str(uuid4()), "CLOCK", "", "no-uuid-" + "7" * 28])


@given(st.lists(st.tuples(KEYS, st.uuids()), unique_by=lambda m: m[1], min_size=2))
def test_two_messages_never_have_one_entry(messages: list[tuple[str, UUID]]) -> None:
    assert len({entry_of(*message) for message in messages}) == len(messages)


def test_ids_that_differ_in_one_half_only_have_entries_of_their_own() -> None:
    of_one_host = [uuid1(node=1, clock_seq=1) for _ in range(100)]
    numbered = [UUID(int=n) for n in range(100)]
    entries = {entry_of(ORDER, id_) for id_ in (*of_one_host, *numbered)}
    assert len(entries) == 200


def test_entries_of_later_orders_come_later_and_those_of_an_order_lie_together() -> None:
    orders = [new_id() for _ in range(50)]
    kinds = ("stock.reserved", "payment.captured", "points.awarded")
    entries = sorted(entry_of(o, event_id(o, kind, 1)) for o in orders for kind in kinds)
    begun = [UUID(order).bytes[:8] for order in orders for _ in kinds]
    assert [entry.bytes[:8] for entry in entries] == sorted(begun)


def test_what_is_no_orders_keeps_its_id() -> None:
    id_ = uuid4()
    assert entry_of("CLOCK", id_) == id_
