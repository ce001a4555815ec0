"""An issuer in a test's hands: keys of each kind, tokens made as it likes, and its key set on request."""

import base64
import hmac
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from chassis import clock
from chassis.auth import IssuerKeys, JwtVerifier

ISSUER: Final = "https://issuer.example.com"
AUDIENCE: Final = "saga"
RSA: Final = RSAKey.generate_key(2048, {"kid": "rsa"})
EC: Final = ECKey.generate_key("P-256", {"kid": "ec"})
OKP: Final = OKPKey.generate_key("Ed25519", {"kid": "okp"})
ALGORITHMS: Final[Mapping[str, str]] = {"rsa": "RS256", "ec": "ES256", "okp": "EdDSA"}


def claims(**changes: Any) -> dict[str, Any]:
    """Of a good token of alice's; a change to None leaves the claim out."""
    now = int(clock.now().timestamp())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now + 600, "scope": "orders"}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def signed(key: Key = EC, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """A token, signed by this key; a header of None is left out."""
    complete = {"alg": ALGORITHMS.get(str(key.kid), "ES256"), "kid": key.kid, "typ": "at+jwt"}
    named = {name: x for name, x in {**complete, **(header or {})}.items() if x is not None}
    return encoded(named, claims(**changes), key)


def encoded(header: Mapping[str, Any], body: Any, key: Key) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode(dict(header), body, key, algorithms=[header["alg"]])


def unsigned(header: Any, body: Any, signature: bytes = b"") -> str:
    """A token of whatever parts."""
    parts = [x if isinstance(x, bytes) else json.dumps(x).encode() for x in (header, body)]
    return ".".join(map(_base64, (*parts, signature)))


def hmac_with(key: RSAKey, header: Mapping[str, Any], body: Any) -> str:
    """HS256, with a public key as it stands for the secret (RFC 8725, section 2.1)."""
    signing = unsigned(header, body).rpartition(".")[0]
    return (
        f"{signing}.{_base64(hmac.digest(key.as_pem(private=False), signing.encode(), 'sha256'))}"
    )


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class KeySet:
    """What the issuer publishes; `away` is why it does not answer."""

    keys: dict[str, Key] = field(default_factory=lambda: {str(k.kid): k for k in (RSA, EC, OKP)})
    away: str = ""
    asked: int = 0

    async def __call__(self) -> Mapping[str, Key]:
        self.asked += 1
        if self.away:
            raise OSError(self.away)
        return dict(self.keys)


def a_verifier(source: KeySet | None = None, **changes: Any) -> JwtVerifier:
    return JwtVerifier(ISSUER, AUDIENCE, IssuerKeys(source or KeySet()), **changes)
