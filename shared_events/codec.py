"""Reading and writing this system's events: the codec of the chassis, over this catalog."""

from functools import partial
from typing import Final

from chassis.events import decode as _decode
from chassis.events import decode_record as _decode_record
from chassis.events import encode as _encode
from shared_events.catalog import CATALOG

encode: Final = partial(_encode, CATALOG)
decode: Final = partial(_decode, CATALOG)
decode_record: Final = partial(_decode_record, CATALOG)
