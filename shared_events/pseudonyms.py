"""What stands for a customer in kept events: a random id, whose link to a person can be erased."""

import re
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "cus_"
PATTERN: Final = re.compile(PREFIX + "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_pseudonym(text: str) -> bool:
    return PATTERN.fullmatch(text) is not None


def former_customer(text: str) -> str:
    """The customer whom an event of release 0.2 or before names itself; "" for a pseudonym."""
    return "" if is_pseudonym(text) else text


def owner_of(details: Mapping[str, str] | None, named: str) -> str:
    """The customer of an order: whom its details say, else whom its events name; "" if neither does."""
    return (details and details["customer_id"]) or former_customer(named)
