"""Orders, as the order service knows them."""

from typing import Final

from order_svc.domain import Input, OrderState
from order_svc.messages import CancelOrder, CartLine, DeadlinePassed, PlaceOrder, PriceProduct
from order_svc.service import SERVICE
from shared_events.order import OrderCancellationRefused, OrderCancellationRequested
from tests.domain.builders import (
    DEADLINE,
    PLACED_AT,
    awarded,
    cancellation_requested,
    confirmed,
    order_cancelled,
    placed,
    priced,
    released,
    stock_rejected,
)
from tests.domain.samples import Samples

PLACE: Final = PlaceOrder(
    order_id="o-1",
    customer_id="c-1",
    cart=(CartLine(sku="CUP", quantity=2),),
    currency="EUR",
    country="DE",
    patience=DEADLINE - PLACED_AT,
)
CANCEL: Final = CancelOrder(order_id="o-1")
PRICE: Final = PriceProduct(sku="CUP", name="A cup", price_minor=1500, currency="EUR")
PASSED: Final = DeadlinePassed(order_id="o-1")
GIVE_UP: Final = OrderCancellationRequested(order_id="o-1", reason="deadline_exceeded")
TOO_LATE_TO_CANCEL: Final = OrderCancellationRefused(order_id="o-1", reason="dispatched")
CANCELLING: Final = (placed(), cancellation_requested())
CONFIRMED: Final = (placed(), confirmed())
CANCELLED: Final = (*CANCELLING, order_cancelled())

SAMPLES: Final = Samples(
    service=SERVICE,
    states=OrderState,
    inputs=Input,
    histories={
        "Absent, product unknown": (),
        "Absent, product priced": (priced(),),
        "Pending": (priced(), placed()),
        "Cancelling": (priced(), *CANCELLING),
        "Confirmed": (priced(), *CONFIRMED),
        "Confirmed, cancellation refused before": (
            priced(),
            *CONFIRMED,
            cancellation_requested(),
            TOO_LATE_TO_CANCEL,
        ),
        "Cancelled": (priced(), *CANCELLED),
    },
    messages={
        "PlaceOrder": PLACE,
        "CancelOrder": CANCEL,
        "DeadlinePassed": PASSED,
        "PriceProduct": PRICE,
        "points.awarded": awarded(),
        "points.awarded, attempt 2": awarded(attempt=2),
        "stock.rejected": stock_rejected(),
        "stock.rejected, the cancellation was noted": stock_rejected("cancelled"),
        "stock.released": released(),
    },
)
