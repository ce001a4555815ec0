"""Where orders and products live."""

from typing import Any, Final, get_args

from chassis.postgres import SharedTable, StateTable
from order_svc.domain import OrderState, Product


def _columns_of(state: Any) -> tuple[str]:
    return (state.order.customer_id,)


ORDERS: Final = StateTable(
    "orders",
    "order_id",
    get_args(OrderState)[1:],  # Absent has no row
    columns=(("customer_id", "text"),),
    columns_of=_columns_of,
)
PRODUCTS: Final = SharedTable("products", "sku", Product, lock=False)
