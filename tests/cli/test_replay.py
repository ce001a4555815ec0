"""`saga replay` over a log that makes no sense in one place: the rest of it is rebuilt."""

from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any, get_args

import pytest

from chassis.kafka import Cluster
from chassis.message import VersionedState
from chassis.replay import Folded
from payment_svc.messages import CaptureSucceeded, RefundSucceeded
from payment_svc.service import SERVICE as PAYMENT
from payment_svc.store import PAYMENTS
from saga_cli.replay import partition
from saga_cli.replay.job import Job, PartitionJob, ReplayError
from saga_cli.targets import Targets
from shared_events.catalog import CATALOG
from shared_events.inventory import StockReserved
from shared_events.payment import PaymentCancellationNoted, PaymentRefunded
from shared_events.shipping import ShipmentRejected
from tests.cli.stories import ReadOrder, ServiceStory
from tests.support.records import a_record, an_order

FORGED = PaymentRefunded(
    order_id="o-9",
    reason="customer",
    refused_by="",
    captured_minor=1000,
    refunded_minor=1000,
    fee_minor=0,
    currency="EUR",
)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> ServiceStory:
    made = ServiceStory(PAYMENT, PAYMENTS)
    made.consume(StockReserved(order=an_order("o-1")))
    monkeypatch.setattr(Job, "opened", lambda _job: made.log)
    return made


async def folded(story: ServiceStory, **how: Any) -> Folded:
    job = Job("payment", "", Targets(Cluster(""), None), **how)
    spans = await job.spans(job.opened())
    found, _ = await partition.folded_part(PartitionJob(job, spans), PAYMENT, lambda *_: None)
    return found


def _refund_one_of_three(story: ServiceStory) -> None:
    """Orders that payment captured, and refunds: their events are in three of its lanes."""
    for n in range(2, 5):
        story.consume(StockReserved(order=an_order(f"o-{n}")))
        story.consume(CaptureSucceeded(order_id=f"o-{n}", provider_ref=f"ch-{n}"))
    story.consume(ShipmentRejected(order_id="o-3", reason="carrier_refused"))
    story.consume(RefundSucceeded(order_id="o-3"))


@pytest.mark.parametrize("order", get_args(ReadOrder))
async def test_orders_whose_events_are_in_several_lanes_add_up_to_what_was_decided(
    story: ServiceStory, order: ReadOrder
) -> None:
    _refund_one_of_three(story)
    story.log.order = order
    assert {"payment.forward", "payment.backward", "payment.facts"} <= story.log.records.keys()
    assert states((await folded(story)).own) == states(story.decider.own)


def states(rows: Mapping[str, VersionedState]) -> dict[str, tuple[Any, int]]:
    return {key: (row.state, row.version) for key, row in rows.items() if row.version}


@pytest.mark.parametrize("order", get_args(ReadOrder))
@pytest.mark.parametrize("moved_at", range(10))
async def test_a_log_that_began_before_the_lanes_adds_up_to_the_same(
    story: ServiceStory, order: ReadOrder, moved_at: int
) -> None:
    """Wherever in it the service has moved: the earlier events are in `payment.events`."""
    _refund_one_of_three(story)
    topics = CATALOG.lanes_of("payment")
    events = [
        (story.log.appended[t, r.offset], r) for t in topics for r in story.log.records.pop(t)
    ]
    for number, (_, record) in enumerate(sorted(events, key=itemgetter(0))):
        former = replace(record, topic="payment.events")
        story.log.append(former if number < moved_at else record)
    story.log.order = order
    assert len(events) == 9
    assert states((await folded(story)).own) == states(story.decider.own)


async def test_a_hole_in_one_lane_is_noticed_though_the_others_go_on(story: ServiceStory) -> None:
    _refund_one_of_three(story)
    captured = story.log.records["payment.forward"]
    captured[:] = [record for record in captured if record.subject != "o-3"]
    lacks = "the log lacks an event of o-3 before its number 3"
    with pytest.raises(ReplayError, match=lacks):
        await folded(story)


async def test_an_event_that_follows_nothing_is_left_out_and_named(
    story: ServiceStory, capsys: pytest.CaptureFixture[str]
) -> None:
    story.log.append(a_record(FORGED))
    story.consume(StockReserved(order=an_order("o-2")))
    assert (await folded(story)).own.keys() == {"o-1", "o-2"}
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "saga: payment.refunded.v1, number 1 of o-9, does not follow what is before it" in err


async def test_a_hole_in_an_orders_numbers_ends_it_unless_a_person_goes_on(
    story: ServiceStory, capsys: pytest.CaptureFixture[str]
) -> None:
    far = a_record(PaymentCancellationNoted(order_id="o-9", reason="customer"))
    numbered = [(n, b"7" if n == "ce_sequence" else raw) for n, raw in far.headers]
    story.log.append(replace(far, headers=tuple(numbered)))
    lacks = "the log lacks an event of o-9 before its number 7"
    with pytest.raises(
        ReplayError, match=f"{lacks}: put back .*, or go on without it, --over-holes"
    ):
        await folded(story)
    assert (await folded(story, over_holes=True)).own.keys() == {"o-1", "o-9"}
    assert capsys.readouterr().err == f"saga: {lacks}\n"
