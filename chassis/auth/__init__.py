"""Who calls over HTTP: bearer tokens (RFC 6750), verified with the keys of an issuer (OpenID Connect)."""

from chassis.auth.caller import (
    AUDIT,
    OPERATE,
    SERVICE,
    VIEW,
    Caller,
    InvalidTokenError,
    KeysAwayError,
    Verifier,
)
from chassis.auth.discovery import WELL_KNOWN, JwksSource, endpoint_in
from chassis.auth.keys import IssuerKeys
from chassis.auth.tokens import JwtVerifier

__all__ = [
    "AUDIT",
    "OPERATE",
    "SERVICE",
    "VIEW",
    "WELL_KNOWN",
    "Caller",
    "InvalidTokenError",
    "IssuerKeys",
    "JwksSource",
    "JwtVerifier",
    "KeysAwayError",
    "Verifier",
    "endpoint_in",
]
