"""Events on the wire: a system's catalog of them, their envelope, their codec and their older versions."""

from chassis.events.catalog import (
    Catalog,
    Entry,
    Listed,
    dead_letters_of,
    identity_of,
    name_of,
    versions,
)
from chassis.events.codec import (
    Headers,
    IncompleteError,
    MalformedError,
    Recorded,
    check_origin,
    decode,
    decode_logged,
    decode_record,
    encode,
    type_of,
)
from chassis.events.envelope import EARLIEST, LATEST, NAMESPACE, Envelope, event_id
from chassis.events.upcasting import UPCASTING, Upcaster, upcast

__all__ = [
    "EARLIEST",
    "LATEST",
    "NAMESPACE",
    "UPCASTING",
    "Catalog",
    "Entry",
    "Envelope",
    "Headers",
    "IncompleteError",
    "Listed",
    "MalformedError",
    "Recorded",
    "Upcaster",
    "check_origin",
    "dead_letters_of",
    "decode",
    "decode_logged",
    "decode_record",
    "encode",
    "event_id",
    "identity_of",
    "name_of",
    "type_of",
    "upcast",
    "versions",
]
