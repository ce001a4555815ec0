"""A JWT counts if the issuer signed it, for us, for now; and nothing that it says of itself helps."""

import asyncio
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from chassis import clock
from chassis.auth import Caller, InvalidTokenError, KeysAwayError, tokens
from chassis.auth.keys import REFETCH_S, REFRESH_S, RETRY_S, IssuerKeys, usable
from chassis.auth.tokens import KNOWN_MAX, TOKEN_MAX
from tests.support.issuing import (
    EC,
    OKP,
    RSA,
    KeySet,
    a_verifier,
    claims,
    hmac_with,
    signed,
    unsigned,
)
from tests.support.stopped_clock import StoppedClock
from tests.support.waiting import until_async

NOW: Final = 1_800_000_000
OTHER: Final = ECKey.generate_key("P-256", {"kid": "ec"})
P384: Final = ECKey.generate_key("P-384", {"kid": "p384"})
with warnings.catch_warnings():
    warnings.simplefilter("ignore", SecurityWarning)
    SHORT: Final = RSAKey.generate_key(1024, {"kid": "short"})
HEADER: Final = {"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}
DEEP: Final = b"[" * 5000


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(NOW, UTC))


@pytest.mark.parametrize("key", [RSA, EC, OKP], ids=["RS256", "ES256", "EdDSA"])
async def test_each_kind_of_key_signs_with_its_own_algorithm_alone(key: Any) -> None:
    verifier = a_verifier()
    assert await verifier.verify(signed(key)) == Caller("alice", frozenset({"orders"}))
    for other in ("RS256", "ES256", "EdDSA", "HS256", "PS256", "none"):
        forged = unsigned({"alg": other, "kid": key.kid}, claims(), b"x" * 64)
        with pytest.raises(InvalidTokenError):
            await verifier.verify(forged)


async def test_the_newer_name_of_eddsa_is_taken_too() -> None:
    caller = await a_verifier().verify(signed(OKP, {"alg": "Ed25519"}))
    assert caller.subject == "alice"


GOOD: Final[dict[str, dict[str, Any]]] = {
    "an audience among several": {"aud": ["other", "saga"]},
    "begun": {"nbf": NOW},
    "not begun by less than the skew": {"nbf": NOW + 30},
    "expired by less than the skew": {"exp": NOW - 29},
    "a time with a fraction": {"exp": NOW + 0.5},
    "claims of others": {"azp": "shop", "realm_access": {"roles": ["operate"]}},
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
async def test_a_token_that_is_good_counts(changes: dict[str, Any]) -> None:
    assert (await a_verifier().verify(signed(**changes))).scopes == {"orders"}


BAD: Final[dict[str, Callable[[], str]]] = {
    "none": lambda: unsigned({"alg": "none", "kid": "rsa"}, claims()),
    "None": lambda: unsigned({"alg": "None", "kid": "rsa"}, claims()),
    "no algorithm": lambda: unsigned({"kid": "rsa"}, claims(), b"x"),
    "an algorithm that is no text": lambda: unsigned({"alg": ["RS256"], "kid": "rsa"}, claims()),
    "a public key as a secret": lambda: hmac_with(RSA, {"alg": "HS256", "kid": "rsa"}, claims()),
    "the same, called RS256": lambda: (
        unsigned(HEADER, claims())
        + hmac_with(RSA, {"alg": "HS256", "kid": "rsa"}, claims()).rpartition(".")[2]
    ),
    "a key of another's under a known id": lambda: signed(OTHER),
    "its own key in the header": lambda: signed(
        OTHER, {"jwk": OTHER.as_dict(private=False), "kid": "mine"}
    ),
    "a critical extension": lambda: unsigned({**HEADER, "crit": ["exp"], "exp": 1}, claims(), b"x"),
    "an unencoded payload": lambda: unsigned({**HEADER, "b64": False, "crit": ["b64"]}, claims()),
    "no key": lambda: signed(EC, {"kid": None}),
    "a key that is no text": lambda: unsigned({"alg": "ES256", "kid": 1}, claims(), b"x"),
    "a key that is not there": lambda: signed(EC, {"kid": "none"}),
    "an id token's type": lambda: signed(EC, {"typ": "id+jwt"}),
    "a logout token's type": lambda: signed(EC, {"typ": "logout+jwt"}),
    "a type that is no text": lambda: signed(EC, {"typ": "x" * 10}),
    "another issuer": lambda: signed(iss="https://issuer.example.com/"),
    "no issuer": lambda: signed(iss=None),
    "another audience": lambda: signed(aud="other"),
    "several other audiences": lambda: signed(aud=["other", "sag"]),
    "no audience": lambda: signed(aud=None),
    "an audience that is no text": lambda: signed(aud=[["saga"], 5]),
    "expired": lambda: signed(exp=NOW - 30),
    "no expiry": lambda: signed(exp=None),
    "an expiry that is a text": lambda: signed(exp=str(NOW + 600)),
    "an expiry that is true": lambda: signed(exp=True),
    "an expiry past all time": lambda: signed(exp=10**400),
    "an expiry that is no number": lambda: _raw('{"iss": "x", "exp": NaN}'),
    "an endless expiry": lambda: _raw('{"iss": "x", "exp": 1e999}'),
    "not begun": lambda: signed(nbf=NOW + 31),
    "a beginning that is a text": lambda: signed(nbf="now"),
    "no subject": lambda: signed(sub=None),
    "an empty subject": lambda: signed(sub=""),
    "a subject that is a number": lambda: signed(sub=5),
    "a subject with a line": lambda: signed(sub="alice\nadmin"),
    "a subject with a blank": lambda: signed(sub="alice admin"),
    "a subject of a kilobyte": lambda: signed(sub="a" * 1024),
    "claims that are a list": lambda: _raw('["iss", "aud", "exp", "sub"]'),
    "claims that are no JSON": lambda: unsigned(HEADER, b"{", b"x"),
    "a header that is a list": lambda: unsigned([], claims(), b"x"),
    "a header of a deep list": lambda: unsigned(DEEP, claims(), b"x"),
    "claims of a deep list": lambda: unsigned(HEADER, DEEP, b"x"),
    "too long": lambda: signed(more="x" * TOKEN_MAX),
    "encrypted": lambda: "e30.e30.e30.e30.e30",
}


def _raw(body: str) -> str:
    """Claims as this text says, signed."""
    from joserfc import jws  # noqa: PLC0415

    return jws.serialize_compact({"alg": "ES256", "kid": "ec"}, body, EC)


@pytest.mark.parametrize("made", BAD.values(), ids=BAD)
async def test_a_token_that_is_not_counts_for_nothing(made: Callable[[], str]) -> None:
    verifier, token = a_verifier(), made()
    for _ in range(2):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(token)
        assert verifier.known(token) is None


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({"scope": "orders shop"}, {"orders", "shop"}),
        ({"scope": None, "scp": ["orders", "audit"]}, {"orders", "audit"}),
        ({"scope": None, "scp": "orders audit"}, {"orders", "audit"}),
        ({"scope": "orders", "scp": ["audit"]}, {"orders", "audit"}),
        ({"scope": None}, set()),
        ({"scope": ""}, set()),
        ({"scope": 5, "scp": {"a": 1}}, set()),
        ({"scope": ["orders", 5, None]}, {"orders"}),
    ],
)
async def test_scopes_are_read_as_issuers_write_them(
    changes: dict[str, Any], scopes: set[str]
) -> None:
    assert (await a_verifier().verify(signed(**changes))).scopes == scopes


async def test_another_claim_may_name_the_caller() -> None:
    verifier = a_verifier(subject_claim="customer")
    assert (await verifier.verify(signed(customer="c-1"))).subject == "c-1"
    with pytest.raises(InvalidTokenError, match="its customer names nobody"):
        await verifier.verify(signed())


async def test_a_token_is_verified_once_and_known_until_it_expires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verifier, token = a_verifier(), signed(exp=NOW + 60)
    caller = await verifier.verify(token)
    monkeypatch.setattr(jwt, "decode", None)  # nothing is verified from here on
    assert verifier.known(token) == caller
    later = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=60 + 30)
    monkeypatch.setattr(clock, "now", lambda: later - timedelta(seconds=1))
    assert verifier.known(token) == caller
    monkeypatch.setattr(clock, "now", lambda: later)
    assert verifier.known(token) is None


async def test_known_tokens_are_bounded_and_the_least_used_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert KNOWN_MAX >= 1000
    monkeypatch.setattr(tokens, "KNOWN_MAX", 3)
    verifier, made = a_verifier(), [signed(OKP, jti=str(n)) for n in range(4)]
    for token in made[:3]:
        await verifier.verify(token)
    assert verifier.known(made[0])
    await verifier.verify(made[3])
    assert [verifier.known(token) is not None for token in made] == [True, False, True, True]


# The issuer's keys


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    return StoppedClock(monkeypatch)


async def test_a_flood_of_unknown_keys_asks_the_issuer_once(time: StoppedClock) -> None:
    source = KeySet()
    verifier = a_verifier(source)
    await verifier.verify(signed())
    assert source.asked == 1

    async def refused(number: int) -> None:
        with pytest.raises(InvalidTokenError):
            await verifier.verify(signed(EC, {"kid": f"none-{number}"}))

    await asyncio.gather(*map(refused, range(50)))
    assert source.asked == 1
    time.s += REFETCH_S
    await asyncio.gather(*map(refused, range(50)))
    assert source.asked == 2
    assert (await verifier.verify(signed(RSA))).subject


async def test_a_new_key_is_found_at_once_where_nobody_asked_lately(time: StoppedClock) -> None:
    source = KeySet({"ec": EC})
    verifier = a_verifier(source)
    await verifier.verify(signed())
    source.keys = {"rsa": RSA}
    with pytest.raises(InvalidTokenError):
        await verifier.verify(signed(RSA))
    time.s += REFETCH_S
    assert (await verifier.verify(signed(RSA))).subject


async def test_a_key_that_is_withdrawn_counts_no_more_nor_what_it_signed(
    time: StoppedClock,
) -> None:
    source = KeySet()
    verifier, token, other = a_verifier(source), signed(EC), signed(RSA)
    await verifier.verify(token)
    await verifier.verify(other)
    source.keys = {"rsa": RSA}
    await verifier.keys.refresh()
    assert verifier.known(token) is None
    assert verifier.known(other) is not None
    with pytest.raises(InvalidTokenError):
        await verifier.verify(token)


async def test_another_key_under_an_old_id_is_another_key(time: StoppedClock) -> None:
    source = KeySet()
    verifier, token = a_verifier(source), signed(EC)
    await verifier.verify(token)
    source.keys["ec"] = OTHER
    await verifier.keys.refresh()
    assert verifier.known(token) is None
    with pytest.raises(InvalidTokenError):
        await verifier.verify(token)
    assert (await verifier.verify(signed(OTHER))).subject


async def test_in_an_outage_known_keys_go_on_and_what_is_not_known_is_not_refused(
    time: StoppedClock,
) -> None:
    source = KeySet({"ec": EC})
    verifier = a_verifier(source)
    await verifier.verify(signed())
    source.away = "the issuer is away"
    time.s += REFETCH_S
    with pytest.raises(KeysAwayError):
        await verifier.verify(signed(RSA))
    assert verifier.keys.failing == "the issuer is away"
    assert (await verifier.verify(signed(sub="bob"))).subject
    with pytest.raises(InvalidTokenError):
        await verifier.verify(signed(OTHER))
    source.away, source.keys["rsa"] = "", RSA
    time.s += REFETCH_S
    assert (await verifier.verify(signed(RSA))).subject
    assert verifier.keys.failing == ""


async def test_without_any_key_nothing_can_be_told(time: StoppedClock) -> None:
    verifier = a_verifier(KeySet(away="it starts"))
    assert verifier.keys.are_missing
    for _ in range(2):
        with pytest.raises(KeysAwayError):
            await verifier.verify(signed())


async def test_keys_are_refreshed_and_sooner_after_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, waits = KeySet(away="it starts"), list[float]()
    keys, stopping = IssuerKeys(source), asyncio.Event()

    async def wait_for(event: asyncio.Event, seconds: float) -> bool:
        waits.append(seconds)
        source.away = "" if len(waits) == 2 else source.away
        if len(waits) == 4:
            event.set()
        return event.is_set()

    monkeypatch.setattr(clock, "wait_for", wait_for)
    task = asyncio.create_task(keys.run(stopping))
    await until_async(task.done)
    assert waits == [RETRY_S, RETRY_S, REFRESH_S, REFRESH_S]
    assert source.asked == 4
    assert not keys.are_missing


PUBLIC: Final = {"EC": EC, "RSA": RSA, "OKP": OKP}


def listed(key: Any, **changes: Any) -> dict[str, Any]:
    complete = {**key.as_dict(private=False), **changes}
    return {name: value for name, value in complete.items() if value is not None}


NO_KEYS: Final[dict[str, Any]] = {
    "for encryption": listed(EC, use="enc"),
    "without an id": listed(EC, kid=None),
    "with a number for an id": listed(EC, kid=5),
    "EC of another algorithm": listed(EC, alg="ES384"),
    "RSA of another hash": listed(RSA, alg="RS512"),
    "RSA for an HMAC": listed(RSA, alg="HS256"),
    "malformed": listed(EC, x="!"),
    "a half": listed(EC, x=None),
    "an unknown curve": listed(EC, crv="P-999"),
    "another curve": listed(P384),
    "too short": listed(SHORT),
    "a secret": {"kty": "oct", "kid": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LQ"},
    "a list for a kind": {"kty": ["RSA"], "kid": "x"},
    "a text": "text",
    "null": None,
    "nothing": {},
}


@pytest.mark.parametrize("entry", NO_KEYS.values(), ids=NO_KEYS)
def test_a_key_that_tokens_are_not_signed_with_is_left_out(entry: Any) -> None:
    assert list(usable({"keys": [entry, listed(OKP, use="sig", alg="EdDSA")]})) == ["okp"]
    with pytest.raises(ValueError, match="has no key for RS256"):
        usable({"keys": [entry]})


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}, {"keys": {}}, {"keys": []}, 5])
def test_a_document_that_is_no_key_set_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="has no key for RS256"):
        usable(document)


PART = st.binary(max_size=60) | st.sampled_from(
    [
        b'{"alg":"ES256","kid":"ec"}',
        b'{"alg":"none"}',
        b"[]",
        b"null",
        b'{"kid":"ec","alg":"RS256"}',
    ]
)


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.text(max_size=80), st.builds(unsigned, PART, PART, st.binary(max_size=70))))
def test_whatever_is_sent_for_a_token_is_refused_by_name(token: str) -> None:
    verifier = a_verifier()

    async def ask() -> None:
        with pytest.raises(InvalidTokenError):
            await verifier.verify(token)

    asyncio.run(ask())
