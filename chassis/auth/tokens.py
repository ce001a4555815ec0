"""JWTs as access tokens (RFC 7519, RFC 8725, RFC 9068), verified by joserfc with the issuer's keys.

The algorithm follows from the key, never from the token: `none`, and an HMAC made with a public key,
are signatures of no key. A token that was verified is known until it expires, so that a client that
comes again costs a look-up.
"""

import hashlib
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import Key

from chassis import clock
from chassis.auth.caller import Caller, InvalidTokenError, KeysAwayError
from chassis.auth.keys import IssuerKeys, algorithms_of

KNOWN_MAX: Final = 10_000
"""Tokens that are known at once; the one that was not used for the longest is forgotten first."""
TOKEN_MAX: Final = 8 * 1024
TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""A token of another type, such as one about a logout, is no access token."""
MALFORMED: Final = (JoseError, ValueError, TypeError, RecursionError)
LATEST: Final = 2.0**53
"""Seconds; a time beyond is a mistake of the issuer."""
SUBJECT: Final = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Verified:
    """A caller, until when (seconds since 1970), and by which key of the issuer."""

    caller: Caller
    until: float
    key_id: str
    key: Key


@dataclass
class JwtVerifier:
    """Tokens of one issuer for one audience.

    `skew_s` is how far its clock and ours may be apart. `subject_claim` names the caller where `sub`
    is not what customers are called here.
    """

    issuer: str
    audience: str
    keys: IssuerKeys
    skew_s: float = 30.0
    subject_claim: str = "sub"
    _known: OrderedDict[bytes, Verified] = field(default_factory=OrderedDict)

    def known(self, token: str) -> Caller | None:
        """Whom a verified token names, unless it has expired, or the issuer has withdrawn its key."""
        digest = _digest(token)
        found = self._known.get(digest)
        if found is None:
            return None
        if found.until <= _now() or self.keys.get(found.key_id) is not found.key:
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return found.caller

    async def verify(self, token: str) -> Caller:
        """As `Verifier.verify`."""
        _, verified = await self._verified(token)
        self._known[_digest(token)] = verified
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return verified.caller

    async def claims(self, token: str) -> Mapping[str, Any]:
        """All that a token says which counts. Raises as `verify` does."""
        claims, _ = await self._verified(token)
        return claims

    async def _verified(self, token: str) -> tuple[Mapping[str, Any], Verified]:
        key_id, algorithm = _named(token)
        key = await self.keys.find(key_id)
        if key is None and (self.keys.failing or self.keys.are_missing):
            raise KeysAwayError(self.keys.failing or "its keys are not known yet")
        if key is None:
            raise InvalidTokenError("the issuer has no such key")
        if algorithm not in algorithms_of(key):
            raise InvalidTokenError("it is not signed as the issuer's key signs")
        claims = _claims(token, key, algorithm)
        return claims, self._checked(claims, key_id, key)

    def _checked(self, claims: Mapping[str, Any], key_id: str, key: Key) -> Verified:
        now, audience = _now(), claims.get("aud")
        until = _time(claims, "exp") + self.skew_s
        if claims.get("iss") != self.issuer:
            raise InvalidTokenError("it is of another issuer")
        if self.audience not in _texts(audience):
            raise InvalidTokenError("it is for another audience")
        if until <= now:
            raise InvalidTokenError("it has expired")
        if _time(claims, "nbf", 0.0) > now + self.skew_s:
            raise InvalidTokenError("it is not valid yet")
        subject = claims.get(self.subject_claim)
        if not isinstance(subject, str) or not SUBJECT.fullmatch(subject):
            raise InvalidTokenError(f"its {self.subject_claim} names nobody")
        return Verified(Caller(subject, _scopes(claims)), until, key_id, key)


def _now() -> float:
    return clock.now().timestamp()


def _digest(token: str) -> bytes:
    """What a token is looked up by: how long that takes says nothing of other tokens."""
    return hashlib.sha256(token.encode("utf-8", "backslashreplace")).digest()


def _named(token: str) -> tuple[str, str]:
    """The key and the algorithm that a token names. Raises InvalidTokenError."""
    if len(token) > TOKEN_MAX or not token.isascii():
        raise InvalidTokenError("it is no JWT")
    try:
        header = jws.extract_compact(token.encode()).headers()
    except MALFORMED:
        raise InvalidTokenError("it is no JWT") from None
    key_id, algorithm, kind = (header.get(name) for name in ("kid", "alg", "typ"))
    if not isinstance(key_id, str) or not isinstance(algorithm, str):
        raise InvalidTokenError("it names no key and algorithm")
    if str("jwt" if kind is None else kind).lower() not in TYPES:
        raise InvalidTokenError("it is no access token")
    return key_id, algorithm


def _claims(token: str, key: Key, algorithm: str) -> Mapping[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # of EdDSA's older name
            return jwt.decode(token, key, algorithms=[algorithm]).claims
    except MALFORMED:
        raise InvalidTokenError("its signature is not the issuer's") from None


def _time(claims: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A NumericDate (RFC 7519). Raises InvalidTokenError where it is none, or missing without a default."""
    value = claims.get(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) < LATEST:
        raise InvalidTokenError(f"its {name} is no time")
    return float(value)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Of `scope` (RFC 8693), a text with blanks, or of `scp`, as some issuers say it."""
    given = (claims.get("scope"), claims.get("scp"))
    return frozenset(word for one in given for text in _texts(one) for word in text.split())


def _texts(value: Any) -> list[str]:
    """A text alone, or the texts of a list; of anything else none."""
    listed = value if isinstance(value, list) else [value]
    return [text for text in listed if isinstance(text, str)]
