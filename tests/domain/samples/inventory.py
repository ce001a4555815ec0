"""Reservations, and the stock they draw on."""

from typing import Final

from inventory_svc.domain import Input, Reservation
from inventory_svc.messages import ReceiveStock, ReturnStock, SetStock, WriteOffStock
from inventory_svc.service import SERVICE
from shared_events.inventory import StockCancellationNoted
from tests.domain.builders import (
    cancellation_requested,
    committed,
    confirmed,
    declined,
    dispatched,
    placed,
    received,
    refunded,
    released,
    reserved,
    shipped,
    stock_rejected,
)
from tests.domain.samples import Samples

NOTED: Final = StockCancellationNoted(order_id="o-1", reason="customer")
HELD: Final = (received(), reserved())
SOLD: Final = (*HELD, committed())
GONE: Final = (*SOLD, shipped())
GIVEN_BACK: Final = (*HELD, released())

SAMPLES: Final = Samples(
    service=SERVICE,
    states=Reservation,
    inputs=Input,
    histories={
        "Absent, out of stock": (),
        "Absent, enough in stock": (received(),),
        "Noted": (received(), NOTED),
        "Reserved": HELD,
        "Committed": SOLD,
        "Shipped": GONE,
        "Released": GIVEN_BACK,
        "Rejected": (received(1), stock_rejected()),
    },
    messages={
        "SetStock, to 1 piece": SetStock(sku="CUP", on_hand=1),
        "ReceiveStock, 1 of another product": ReceiveStock(sku="TEA", quantity=1),
        "WriteOffStock, 9 pieces": WriteOffStock(sku="CUP", quantity=9, reason="damaged"),
        "ReturnStock, 2 pieces": ReturnStock(sku="CUP", quantity=2),
        "order.placed": placed(),
        "order.cancellation_requested": cancellation_requested(),
        "order.confirmed": confirmed(),
        "payment.declined": declined(),
        "payment.refunded": refunded(),
        "shipment.dispatched": dispatched(),
    },
)
