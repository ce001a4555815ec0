"""The filter text of a list of orders: `state:pending step:payment older:5m`, the same everywhere.

Words stand with spaces between; an order has to meet all of them. `name:a,b` is met by a or by b, and a
value with a space is quoted: `reason:"no stock"`. A word without a name is the beginning of an order's id.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from console.model import EVERYTHING, Filter
from guarantees.protocol import HOPS, SETTLED, STEPS

LENGTH_MAX: Final = 1000
WORD: Final = re.compile(r'\s*(?:([a-z]+):)?("[^"]*"|[^\s"]+)(?=\s|$)')
DURATION: Final = re.compile(r"(\d{1,6})(ms|s|m|h|d)")
UNITS: Final[Mapping[str, timedelta]] = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
TRUTH: Final = {"yes": True, "no": False}
FIRST: Final = STEPS[0].service
STATES: Final = tuple(
    sorted(SETTLED.union(*(hop.sent for hop in HOPS if hop.by == FIRST)), key=str.lower)
)
"""Of the order service."""
SERVICES: Final = tuple(step.service for step in STEPS)
ORDER_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
IN_FLIGHT: Final = "flight:yes"


class FilterError(ValueError):
    """A text that is no filter; `str()` says which word is wrong and what could stand there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a text asks for.

    `retrying` is about calls that failed and are tried again, which only the services know: it is asked
    there, and comes into the filter as `ids`.
    """

    filter: Filter = EVERYTHING
    retrying: bool | None = None


@dataclass(frozen=True, slots=True)
class Word:
    name: str
    value: str

    @property
    def values(self) -> frozenset[str]:
        return frozenset(part for part in self.value.split(",") if part)


def parse(text: str) -> Wanted:
    """Raises FilterError."""
    found: dict[str, Word] = {}
    for word in _words(text):
        if word.name in found:
            raise FilterError(f"{word.name or 'an id'} is given twice: name:a,b means a or b")
        found[word.name] = word
    wanted = Wanted()
    for word in found.values():
        wanted = _with(wanted, word)
    return wanted


def with_word(text: str, name: str, value: str) -> str:
    """The same filter with this word in place of any other of its name; without it for ""."""
    words = [word for word in _words(text) if word.name != name]
    return " ".join(_text_of(word) for word in (*words, *([Word(name, value)] if value else [])))


def _text_of(word: Word) -> str:
    value = f'"{word.value}"' if " " in word.value else word.value
    return f"{word.name}:{value}" if word.name else value


def _words(text: str) -> Iterator[Word]:
    if len(text) > LENGTH_MAX:
        raise FilterError(f"a filter has at most {LENGTH_MAX} characters")
    rest, at = text.strip(), 0
    while at < len(rest):
        found = WORD.match(rest, at)
        if found is None:
            raise FilterError(f"what does {rest[at:].strip()[:40]!r} ask for? Write name:value")
        yield Word(found[1] or "", found[2].strip('"'))
        at = found.end()


def _with(wanted: Wanted, word: Word) -> Wanted:
    if word.name == "retrying":
        return replace(wanted, retrying=_truth(word))
    read = READ.get(word.name)
    if read is None:
        names = ", ".join([*filter(None, READ), "retrying"])
        raise FilterError(f"there is no {word.name!r}: there are {names}")
    field, value_of = read
    changes: dict[str, Any] = {field: value_of(word)}
    return replace(wanted, filter=replace(wanted.filter, **changes))


def _one_of(known: tuple[str, ...]) -> Callable[[Word], frozenset[str]]:
    by_name = {name.lower(): name for name in known}

    def read(word: Word) -> frozenset[str]:
        if unknown := sorted(v for v in word.values if v.lower() not in by_name):
            choices = ", ".join(by_name)
            raise FilterError(f"there is no {word.name} {unknown[0]!r}: there are {choices}")
        return frozenset(by_name[value.lower()] for value in word.values)

    return read


def _texts(word: Word) -> frozenset[str]:
    return word.values


def _duration(word: Word) -> timedelta:
    found = DURATION.fullmatch(word.value)
    if found is None:
        raise FilterError(f"{word.name} is a duration such as 30s, 5m, 2h or 7d")
    return int(found[1]) * UNITS[found[2]]


def _instant(word: Word) -> datetime:
    try:
        at = datetime.fromisoformat(word.value)
    except ValueError:
        why = f"{word.name} is a time such as 2026-11-29T10:00Z; without a zone it is UTC"
        raise FilterError(why) from None
    try:
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise FilterError(f"{word.name} is no time that an order has") from None


def _truth(word: Word) -> bool:
    if word.value not in TRUTH:
        raise FilterError(f"{word.name} is yes or no")
    return TRUTH[word.value]


def _id(word: Word) -> str:
    if not ORDER_ID.fullmatch(word.value):
        raise FilterError(f"{word.value[:40]!r} is no beginning of an order's id")
    return word.value


READ: Final[Mapping[str, tuple[str, Callable[[Word], Any]]]] = {
    "state": ("states", _one_of(STATES)),
    "step": ("steps", _one_of(SERVICES)),
    "edge": ("edges", _texts),
    "reason": ("reasons", _texts),
    "customer": ("customers", _texts),
    "older": ("older", _duration),
    "waiting": ("waiting", _duration),
    "from": ("placed_from", _instant),
    "until": ("placed_until", _instant),
    "flight": ("in_flight", _truth),
    "": ("text", _id),
}
"""By the name of a word, the field of a filter, and how its value is read."""
