"""Where orders and products live."""

from typing import Any, Final

from chassis.postgres import SharedTable, StateTable
from order_svc.domain import Cancelled, Cancelling, Confirmed, Pending, Product


def _columns_of(state: Any) -> tuple[str]:
    return (state.order.customer_id,)


ORDERS: Final = StateTable(
    "orders",
    "order_id",
    (Pending, Cancelling, Confirmed, Cancelled),
    columns=(("customer_id", "text"),),
    columns_of=_columns_of,
)
PRODUCTS: Final = SharedTable("products", "sku", Product, lock=False)
