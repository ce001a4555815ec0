"""Where awards and customers live. Points are added up, in whatever order they come."""

from typing import Final

from chassis.redis import Keys, Layout, SharedHash, StateHash
from loyalty_svc.domain import Awarded, Customer, Deducted, Noted, Rejected

AWARDS: Final = StateHash("order", (Noted, Awarded, Deducted, Rejected))
CUSTOMERS: Final = SharedHash("customer", Customer, version="changes", counters=("points",))
KEYS: Final = Keys("loyalty")
LAYOUT: Final = Layout(KEYS, AWARDS, CUSTOMERS)
