"""The public keys of an issuer: kept, refreshed, and asked for again where a token names another."""

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key

from chassis import clock

log = structlog.get_logger()
REFRESH_S: Final = 300.0
"""After so long the keys are asked for again, so that one that was withdrawn counts no more."""
REFETCH_S: Final = 10.0
"""Between two requests to the issuer for keys that tokens name: a flood of them makes one."""
RETRY_S: Final = 5.0
RSA_MIN_BITS: Final = 2048
ALGORITHMS: Final[Mapping[str, frozenset[str]]] = {
    "RSA": frozenset({"RS256"}),
    "P-256": frozenset({"ES256"}),
    "Ed25519": frozenset({"EdDSA", "Ed25519"}),
}
"""By the kind of a key, what it signs with; the second name of EdDSA is that of RFC 9864."""
FetchKeys = Callable[[], Awaitable[Mapping[str, Key]]]


@dataclass
class IssuerKeys:
    """By key id. In an outage of the issuer those that are known go on.

    `failing` says why the newest request for them failed, "" where it did not.
    """

    fetch: FetchKeys
    failing: str = ""
    _known: Mapping[str, Key] = field(default_factory=dict)
    _next_at: float = 0.0
    _fetching: asyncio.Task[None] | None = None

    @property
    def are_missing(self) -> bool:
        """No key was ever to be had: no token can be verified."""
        return not self._known

    def get(self, key_id: str) -> Key | None:
        """A key that is known."""
        return self._known.get(key_id)

    async def find(self, key_id: str) -> Key | None:
        """A key that is known, or that the issuer has by now; it is asked once in REFETCH_S at most."""
        if key_id not in self._known:
            await self._refetch()
        return self._known.get(key_id)

    async def run(self, stopping: asyncio.Event) -> None:
        """Refresh them until the process stops."""
        while not stopping.is_set():
            await self.refresh()
            await clock.wait_for(stopping, RETRY_S if self.failing else REFRESH_S)

    async def refresh(self) -> None:
        """Ask the issuer now, or wait for the answer where it is being asked."""
        if self._fetching is None:
            self._next_at = clock.monotonic() + REFETCH_S
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def _refetch(self) -> None:
        if self._fetching is not None or clock.monotonic() >= self._next_at:
            await self.refresh()

    async def _fetch(self) -> None:
        try:
            fetched = await self.fetch()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with an issuer: known keys go on
            why = str(error) or type(error).__name__
            if why != self.failing:
                log.warning("issuer_away", error=why, keys=len(self._known))
            self.failing = why
        else:
            self.failing, self._known = "", self._kept(fetched)
        finally:
            self._fetching = None

    def _kept(self, fetched: Mapping[str, Key]) -> Mapping[str, Key]:
        """The same objects for keys that are the same: what was verified with them stays so."""
        return {
            id_: old if (old := self._known.get(id_)) and _is_same(old, key) else key
            for id_, key in fetched.items()
        }


def usable(document: Any) -> dict[str, Key]:
    """The keys of a JWK set (RFC 7517) that tokens may be signed with, by their ids.

    Left out are keys without an id, for encryption, of another kind, or too short. Raises ValueError
    where there is none.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    keys = {}
    for entry in listed if isinstance(listed, list) else ():
        key = _signing_key(entry)
        if key is not None:
            keys[str(entry["kid"])] = key
    if not keys:
        raise ValueError("its key set has no key for RS256, ES256 or EdDSA that has an id")
    return keys


def algorithms_of(key: Key) -> frozenset[str]:
    """What a key signs with; nothing for one that is not for signatures of tokens."""
    match key:
        case RSAKey():
            bits = key.public_key.key_size
            return ALGORITHMS["RSA"] if bits >= RSA_MIN_BITS else frozenset()
        case ECKey() | OKPKey():
            return ALGORITHMS.get(key.curve_name, frozenset())
        case _:
            return frozenset()


def _signing_key(entry: Any) -> Key | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
        return None
    if entry.get("kty") not in ("RSA", "EC", "OKP") or entry.get("use", "sig") != "sig":
        return None
    public = {name: value for name, value in entry.items() if name not in {"alg", "key_ops"}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            key = import_key(public)
            allowed = algorithms_of(key)
    except (JoseError, ValueError, TypeError, LookupError):  # not a key
        return None
    return key if entry.get("alg", next(iter(allowed), "")) in allowed else None


def _is_same(one: Key, other: Key) -> bool:
    return one.thumbprint() == other.thumbprint()
