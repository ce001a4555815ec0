"""Types of events as a person names them."""

from difflib import get_close_matches
from fnmatch import fnmatchcase

from chassis.events import name_of
from saga_cli.terminal import plain
from shared_events.catalog import ENTRIES


def is_of_type(wire_type: str, pattern: str) -> bool:
    """By its name with or without the version, or a pattern of either."""
    names = (wire_type, wire_type.rpartition(".")[0])
    return any(fnmatchcase(name, pattern) for name in names)


def why_unknown(pattern: str) -> str:
    """What is wrong with a pattern that no event has, in any version; "" for another."""
    known = [name for entry in ENTRIES for name in entry.wire_types]
    if not pattern or any(is_of_type(name, pattern) for name in known):
        return ""
    near = get_close_matches(pattern, {*known, *map(name_of, known)}, n=3)
    instead = f"did you mean {', '.join(near)}?" if near else "`saga schema show` lists them"
    return f"there is no event {plain(pattern)!r}: {instead}"
