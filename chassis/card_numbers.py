"""Numbers of payment cards in text: refused wherever a text enters a log that is kept.

A card number (PAN, ISO/IEC 7812-1) is 13 to 19 digits whose last one is the Luhn check digit. Digits of
any script count, and whatever is neither letter nor digit may stand between them.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

LENGTHS: Final = range(13, 20)
_ENOUGH: Final = re.compile(r"\d(?:[\W_]*\d){12}")
_NUMBER: Final = re.compile(r"\d+(?:[\W_]+\d+)*")
_UUID: Final = re.compile(
    r"(?<![0-9a-fA-F])[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"(?![0-9a-fA-F])",
    re.IGNORECASE,
)
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def holds_card_number(text: str) -> bool:
    """True if `text` contains 13 to 19 digits that pass the Luhn check, separated or not.

    Groups of digits count together and in part, so a number beside another is found. An RFC 9562
    UUID is none: one in some thousands would pass the check by chance.
    """
    if not _ENOUGH.search(text):
        return False
    plain = unicodedata.normalize("NFKC", _UUID.sub("x", text))
    return any(_is_card_number(digits) for digits in _numbers(plain))


def field_with_card_number(value: Any) -> str | None:
    """The name of the first text field of a dataclass that holds one, at any depth, or None."""
    names: dict[str, str] = {}
    _collect(value, "", names)
    return next((name for text, name in names.items() if holds_card_number(text)), None)


def _collect(value: Any, name: str, names: dict[str, str]) -> None:
    """By text, the name of the first field that has it; a text that is too short holds none."""
    if isinstance(value, str):
        if len(value) >= LENGTHS.start:
            names.setdefault(value, name)
    elif isinstance(value, dict):
        for key, part in value.items():
            _collect(str(key), name, names)
            _collect(part, str(key), names)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            _collect(part, name, names)
    else:
        for field in getattr(value, "__dataclass_fields__", ()):
            _collect(getattr(value, field), field, names)


def _numbers(text: str) -> Iterator[str]:
    """Runs of groups of digits, each 13 to 19 digits long in all."""
    for match in _NUMBER.finditer(text):
        groups = re.findall(r"\d+", match[0])
        for first in range(len(groups)):
            digits = ""
            for group in groups[first:]:
                digits += group
                if len(digits) >= LENGTHS.stop:
                    break
                if len(digits) in LENGTHS:
                    yield digits


def _is_card_number(digits: str) -> bool:
    values = [unicodedata.decimal(digit) for digit in reversed(digits)]
    return sum(v if n % 2 == 0 else _DOUBLED[v] for n, v in enumerate(values)) % 10 == 0
