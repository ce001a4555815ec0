"""Who calls, and the port by which a bearer token becomes that."""

from dataclasses import dataclass
from typing import Final, Protocol

OPERATE: Final = "operate"
"""The scope of operators, who may change what the operators' routes offer."""
VIEW: Final = "view"
"""The scope of viewers, who see in the console where orders stand, and change nothing."""
AUDIT: Final = "audit"
"""The scope of auditors, who may read what operators may."""
SERVICE: Final = "service"
"""The scope of another system, which acts for any customer."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a token names (`sub`), and what it allows."""

    subject: str
    scopes: frozenset[str] = frozenset()


class InvalidTokenError(Exception):
    """The token counts for nothing. `str()` says why, and quotes nothing of it."""


class KeysAwayError(Exception):
    """It is unknown whether the token is good: the issuer does not give its keys."""


class Verifier(Protocol):
    """What stands behind the routes: an issuer's keys, or a table of tokens in a test."""

    def known(self, token: str) -> Caller | None:
        """Whom a token names that was verified before and has not expired; None for any other."""

    async def verify(self, token: str) -> Caller:
        """Raises InvalidTokenError, and KeysAwayError where nothing can be verified now."""
