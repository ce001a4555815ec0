"""Events of older versions, read as if they had been published in today's: one step a version.

An upcaster takes the JSON object of `<name>.v<n>` and returns that of `<name>.v<n+1>`. It is pure,
keeps what it does not know, and is never removed or changed: the log is kept for ever.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTING: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading bytes as what they are not may raise; none of it is the reader's own trouble."""


def upcast(fields: dict[str, Any], steps: Iterable[Upcaster]) -> dict[str, Any]:
    """Raises ValueError for fields that a step can't make sense of; it does not repeat them."""
    try:
        for step in steps:
            fields = step(fields)
    except UPCASTING as error:
        raise ValueError(f"it can't be upcast: {type(error).__name__}") from None
    return fields
