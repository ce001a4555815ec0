"""Header fields whose values have a grammar: Idempotency-Key and Prefer."""

import re
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Header
from pydantic import AfterValidator

KEY_MAX: Final = 255
_KEY: Final = r'^(?:[!#-~][ -~]*|"(?:[!#-\[\]-~]|\\["\\])(?:[ !#-\[\]-~]|\\["\\])*")$'
"""Printable ASCII, or a string of RFC 9651; neither begins with a blank."""
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*+(?:"|\\?$)'
"""Also one that is not closed. It is read in one way only: what follows it never has it read again."""
_ELEMENT: Final = re.compile(rf'(?:{_QUOTED}|[^,"])+', re.DOTALL)
_PREFERENCE: Final = re.compile(
    rf"\s*({_WORD})(?:\s*=\s*({_WORD}|{_QUOTED}))?\s*(?:;.*)?", re.DOTALL
)


def key_of(raw: str) -> str:
    """The key that a value of the grammar stands for: `"abc"`, a string of RFC 9651, is abc."""
    return re.sub(r"\\(.)", r"\1", raw[1:-1]) if raw.startswith('"') else raw


IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=KEY_MAX,
        pattern=_KEY,
        description=(
            "Makes the request safe to repeat. The same key with the same body, byte for byte, gets"
            " the first answer again, with `Idempotency-Replayed: true`; with another body it is"
            f" refused (422). 1 to {KEY_MAX} printable ASCII characters, plain or as a quoted string"
            ' (RFC 9651): `"abc"` and `abc` are the same key. A key belongs to its method and path.'
        ),
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ),
    AfterValidator(key_of),
]


def preferences(lines: Sequence[str]) -> dict[str, str]:
    """The preferences of all `Prefer` lines (RFC 7240), by lower-case name.

    The first of a name counts; parameters and whatever is malformed are ignored, as the RFC says.
    """
    found: dict[str, str] = {}
    for element in _ELEMENT.findall(", ".join(lines)):
        if preference := _PREFERENCE.fullmatch(element):
            name, value = preference[1].lower(), preference[2] or ""
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:].removesuffix('"'))
            found.setdefault(name, value)
    return found
