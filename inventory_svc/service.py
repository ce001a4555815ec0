"""The inventory service, declared."""

from typing import Any, Final

from chassis.service import Service
from inventory_svc import domain
from inventory_svc.domain import Committed, Reserved
from inventory_svc.manifest import MANIFEST
from inventory_svc.messages import ReceiveStock, ReturnStock, SetStock, WriteOffStock
from shared_events.catalog import CATALOG, events_of
from shared_events.inventory import StockReceived, StockReserved, StockReturned, StockWrittenOff
from shared_events.order import OrderPlaced


def skus_of(own: Any, message: Any) -> frozenset[str]:
    match message:
        case OrderPlaced(order=order) | StockReserved(order=order):
            return frozenset(line.sku for line in order.lines)
        case (
            SetStock(sku=sku)
            | ReceiveStock(sku=sku)
            | WriteOffStock(sku=sku)
            | ReturnStock(sku=sku)
            | StockReceived(sku=sku)
            | StockWrittenOff(sku=sku)
            | StockReturned(sku=sku)
        ):
            return frozenset({sku})
        case _:
            held = own.lines if isinstance(own, Reserved | Committed) else ()
            return frozenset(line.sku for line in held)


SERVICE: Final = Service(
    name="inventory",
    version=MANIFEST.version,
    catalog=CATALOG,
    decide=domain.decide,
    evolve=domain.evolve,
    initial=domain.INITIAL,
    first_messages=domain.FIRST,
    consumes=events_of(domain.Input),
    publishes=events_of(domain.Event),
    combined=domain.State,
    shared_keys=skus_of,
    merge=domain.merge,
)
