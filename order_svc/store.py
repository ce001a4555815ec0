"""Where orders and products live."""

from typing import Any, Final, get_args

from chassis.postgres import ProjectedTable, SharedTable, StateTable
from order_svc.domain import OrderState, Product
from shared_events.catalog import CATALOG
from shared_events.order import CustomerIdentified


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
CUSTOMERS: Final = ProjectedTable(
    CATALOG,
    CustomerIdentified,
    "customers",
    ("customer_id",),
    key="pseudonym",
    keeps_erased=False,
)
"""Written when a pseudonym is made; its own topic fills it again after a loss."""
