"""What an access token allows over HTTP, by its scopes: the same words in every service.

The mechanism has three more: `operate`, `audit` and `service` (`chassis.auth`).
"""

from typing import Final

ORDERS: Final = "orders"
"""A customer: `sub` is the customer's id. Their own orders, payments, shipments and points."""
SHOP: Final = "shop"
"""Who runs the shop: catalogue, stock, and letting a shipment leave."""
