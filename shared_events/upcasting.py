"""The steps by which events of older versions are read (see chassis/events/upcasting.py)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from chassis.events import Upcaster

UPCASTERS: Final[Mapping[str, Upcaster]] = MappingProxyType({})
"""By the wire type that they start from. No event has had a breaking change yet."""
