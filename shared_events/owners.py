"""The services by name: the one list of them, in the order in which an order passes them.

Each has a module of its events here, and a package of its own (`payment`: `shared_events/payment.py`
and `payment_svc/`), whose `manifest.py` says the rest. Events, deployment, tools and tests go by it.
"""

from typing import Final

OWNERS: Final = ("order", "inventory", "payment", "shipping", "loyalty")
