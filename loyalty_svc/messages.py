"""Messages to loyalty other than its neighbours' events.

commands   SetStanding
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStanding:
    customer_id: str
    suspended: bool
