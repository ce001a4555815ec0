"""What stands behind the routes: the real verifier of tokens, and the table that tests use for one."""

import pytest

from chassis.auth import Caller, InvalidTokenError, Verifier
from tests.support.callers import KnownTokens
from tests.support.issuing import a_verifier, signed

ALICE = Caller("alice", frozenset({"orders"}))
BOTH = Caller("crm-7", frozenset({"service", "orders"}))


@pytest.fixture(params=["jwt", "table"])
def found(request: pytest.FixtureRequest) -> tuple[Verifier, str, str]:
    """With a token of alice's and one of another system's."""
    if request.param == "jwt":
        return a_verifier(), signed(), signed(sub=BOTH.subject, scope="service orders")
    return KnownTokens({"a": ALICE, "b": BOTH}), "a", "b"


async def test_a_token_names_its_caller_and_is_known_from_then_on(
    found: tuple[Verifier, str, str],
) -> None:
    verifier, *tokens = found
    for token, caller in zip(tokens, (ALICE, BOTH), strict=True):
        for _ in range(2):
            assert await verifier.verify(token) == caller
            assert verifier.known(token) == caller


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "a" * 20_000, "\xff", "\udc80", "é.é.é", "\x00"]
)
async def test_what_is_no_token_is_refused_and_never_known(
    found: tuple[Verifier, str, str], token: str
) -> None:
    verifier, *_ = found
    for _ in range(2):
        assert verifier.known(token) is None
        with pytest.raises(InvalidTokenError) as refused:
            await verifier.verify(token)
        assert str(refused.value)
        assert len(token) < 3 or token not in str(refused.value)


async def test_a_token_with_a_letter_more_or_another_is_another_token(
    found: tuple[Verifier, str, str],
) -> None:
    verifier, token, _ = found
    await verifier.verify(token)
    middle = len(token) // 2
    others = (f"{token}x", token[:-1], f"{token[:middle]}~{token[middle + 1 :]}", token.swapcase())
    for other in others:
        assert verifier.known(other) is None
        with pytest.raises(InvalidTokenError):
            await verifier.verify(other)
