"""Text that enters over HTTP, by path, query, header or body: of these types, and no other.

None takes NUL, which PostgreSQL can't keep, another control character, a separator of lines or half
a surrogate pair, and each has a longest length. `tests/architecture/test_api.py` looks for others.
"""

from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import StringConstraints

NO_CONTROLS: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
CODE: Final = r"^[A-Za-z0-9._-]+$"


def text(max_length: int, min_length: int = 1, pattern: str = NO_CONTROLS) -> Any:
    """Constraints for an `Annotated[str, ...]`."""
    return StringConstraints(min_length=min_length, max_length=max_length, pattern=pattern)


EXAMPLE: Final = "0199b4d2-7d54-7d7c-a6a5-b9f6f5a1c001"


def key_in_path(description: str) -> Any:
    """Of an `Annotated[SagaKey, ...]` that is a part of a path."""
    return Path(description=description, examples=[EXAMPLE])


SagaKey = Annotated[str, text(64, pattern="^[A-Za-z0-9-]+$")]
Code = Annotated[str, text(64, pattern=CODE)]
"""What clients name things by: a SKU, a customer."""
LineText = Annotated[str, text(200)]
Note = Annotated[str, text(1000)]
ParkedKey = Annotated[str, text(2048, 0, pattern=r"^[^\x00]*$")]
"""The key of a parked message, which others wrote: whatever PostgreSQL keeps, also nothing."""
