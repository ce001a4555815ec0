"""`saga replay` over a log that makes no sense in one place: the rest of it is rebuilt."""

from dataclasses import replace
from typing import Any

import pytest

from chassis.replay import Folded
from payment_svc.service import SERVICE as PAYMENT
from payment_svc.store import PAYMENTS
from saga_cli.replay import partition
from saga_cli.replay.job import Job, PartitionJob, ReplayError
from saga_cli.targets import Targets
from shared_events.inventory import StockReserved
from shared_events.payment import PaymentCancellationNoted, PaymentRefunded
from tests.cli.stories import ServiceStory
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
    job = Job("payment", "", Targets("", None), **how)
    spans = await job.spans(job.opened())
    found, _ = await partition.folded_part(PartitionJob(job, spans), PAYMENT, lambda *_: None)
    return found


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
