"""The order service, declared."""

from typing import Any, Final

from chassis.service import Service
from order_svc import domain
from order_svc.messages import DeadlinePassed, PlaceOrder, PriceProduct
from shared_events.inventory import StockRejected, StockReleased
from shared_events.loyalty import PointsAwarded
from shared_events.order import (
    DeliveryDetailsGiven,
    OrderCancellationRefused,
    OrderCancellationRequested,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    ProductPriced,
)


def products_of(_own: Any, message: Any) -> frozenset[str]:
    match message:
        case PlaceOrder(cart=cart):
            return frozenset(line.sku for line in cart)
        case PriceProduct(sku=sku) | ProductPriced(sku=sku):
            return frozenset({sku})
        case _:
            return frozenset()


SERVICE: Final = Service(
    name="order",
    decide=domain.decide,
    evolve=domain.evolve,
    initial=domain.INITIAL,
    begins=(PlaceOrder,),
    owed=domain.owed,
    consumes=(PointsAwarded, StockRejected, StockReleased),
    publishes=(
        OrderPlaced,
        OrderConfirmed,
        OrderCancelled,
        OrderCancellationRequested,
        OrderCancellationRefused,
        ProductPriced,
        DeliveryDetailsGiven,
    ),
    timers=(DeadlinePassed,),
    scope=domain.State,
    references=products_of,
    joined=domain.joined,
    keeps_timeline=True,
)
