"""Bugs in who is let in over HTTP: tokens, keys, scopes and what is whose."""

from functools import partial
from typing import Final

from simulation.edits.edit import Edit

TOKENS: Final = "tests/chassis/test_tokens.py::test_"
BAD: Final = f"{TOKENS}a_token_that_is_not_counts_for_nothing"
TABLE: Final = (
    "tests/architecture/test_access.py::test_every_route_lets_in_whom_it_says_and_nobody_else"
)
LOCAL: Final = "tests/console/test_local_issuer.py::test_"
FAST: Final = "tests/chassis/test_fast_path.py::test_"

_tokens = partial(Edit, "chassis/auth/tokens.py")
_keys = partial(Edit, "chassis/auth/keys.py")
_signing_in = partial(Edit, "saga_cli/stack/signing_in.py")

ACCESS_EDITS: Final = (
    Edit(
        "order_svc/customers.py",
        "card-number-has-a-pseudonym",
        'refuse_card_numbers({"customer_id": customer_id})',
        "refuse_card_numbers({})",
        ("tests/chassis/test_card_numbers.py::test_no_pseudonym_is_made_for_one",),
    ),
    _tokens(
        "token-of-any-issuer",
        'claims.get("iss") != self.issuer',
        'claims.get("iss") is None',
        (f"{BAD}[another issuer]",),
    ),
    _tokens(
        "token-for-any-audience",
        "self.audience not in _texts(audience)",
        '"aud" not in claims',
        (f"{BAD}[another audience]",),
    ),
    _tokens("token-without-end", "if until <= now:", "if until <= 0:", (f"{BAD}[expired]",)),
    _tokens(
        "known-token-without-end",
        "found.until <= _now() or ",
        "",
        (f"{TOKENS}a_token_is_verified_once_and_known_until_it_expires",),
    ),
    _tokens(
        "known-token-of-a-withdrawn-key",
        " or self.keys.get(found.key_id) is not found.key",
        "",
        (f"{TOKENS}a_key_that_is_withdrawn_counts_no_more_nor_what_it_signed",),
    ),
    _keys(
        "a-fetch-for-each-unknown-key",
        "self._fetching is not None or clock.monotonic() >= self._next_at",
        "True",
        (f"{TOKENS}a_flood_of_unknown_keys_asks_the_issuer_once",),
    ),
    _keys(
        "keys-lost-in-an-outage",
        "self.failing = why",
        "self.failing, self._known = why, {}",
        (f"{TOKENS}in_an_outage_known_keys_go_on_and_what_is_not_known_is_not_refused",),
    ),
    Edit(
        "chassis/http/fast_path.py",
        "fast-path-open-to-all",
        "        await enter(self.route, scope)\n",
        "        scope['chassis.granted'] = None\n",
        (f"{FAST}whoever_is_not_let_in_gets_one_answer_from_both_before_anything_is_read",),
    ),
    Edit(
        "chassis/http/gate.py",
        "own-scope-opens-all",
        "return Granted(caller, restricted=True)",
        "return Granted(caller)",
        (f"{FAST}both_know_who_asks_and_whether_only_for_themselves",),
    ),
    Edit(
        "chassis/http/gate.py",
        "any-scope-opens",
        "        raise self._refused(_insufficient(access))\n",
        "        return Granted(caller, restricted=True)\n",
        (f"{TABLE}[order]",),
    ),
    Edit(
        "chassis/http/app.py",
        "keys-shared-by-callers",
        'name = f"{name} by {subject}"',
        "pass",
        ("tests/chassis/test_http_rules.py::test_a_key_is_its_callers_own",),
    ),
    _signing_in(
        "code-counts-twice",
        'self._codes.pop(form.get("code", ""), None)',
        'self._codes.get(form.get("code", ""))',
        (f"{LOCAL}a_code_counts_once_and_for_who_knows_the_verifier",),
    ),
    _signing_in(
        "verifier-not-compared",
        "hmac.compare_digest(digest, grant.challenge.encode())",
        "bool(digest)",
        (f"{LOCAL}a_code_is_exchanged_by_who_it_was_given_for_alone",),
    ),
    _signing_in(
        "password-not-asked",
        "if person is None or not hmac.compare_digest(given, password):",
        "if person is None or not (given and password):",
        (f"{LOCAL}without_the_password_nobody_gets_a_code",),
    ),
)
