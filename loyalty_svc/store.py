"""Where awards and customers live. Points are added up, in whatever order they come."""

from typing import Final, get_args

from chassis.redis import Keys, Layout, ProjectedHash, SharedHash, StateHash
from loyalty_svc.domain import Award, Customer
from shared_events.catalog import CATALOG
from shared_events.order import CustomerIdentified

AWARDS: Final = StateHash("order", get_args(Award)[1:])  # Absent has no row
CUSTOMERS: Final = SharedHash("customer", Customer, version="changes", counters=("points",))
KEYS: Final = Keys("loyalty")
LAYOUT: Final = Layout(KEYS, AWARDS, CUSTOMERS)
PSEUDONYMS: Final = ProjectedHash(
    CATALOG, CustomerIdentified, "pseudonyms", ("customer_id",), keys=KEYS
)
