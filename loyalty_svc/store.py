"""Where awards and customers live. Points are added up, in whatever order they come."""

from typing import Final, get_args

from chassis.redis import Keys, Layout, SharedHash, StateHash
from loyalty_svc.domain import Award, Customer

AWARDS: Final = StateHash("order", get_args(Award)[1:])  # Absent has no row
CUSTOMERS: Final = SharedHash("customer", Customer, version="changes", counters=("points",))
KEYS: Final = Keys("loyalty")
LAYOUT: Final = Layout(KEYS, AWARDS, CUSTOMERS)
