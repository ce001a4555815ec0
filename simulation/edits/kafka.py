"""Bugs in how a client is let into Kafka, and in what it holds back."""

from typing import Final

from simulation.edits.edit import Edit

CLUSTER: Final = "tests/chassis/test_cluster.py::test_"
TOKENS: Final = "tests/chassis/test_kafka_tokens.py::test_"
CONSUMER: Final = "tests/chassis/test_consumer.py::test_"
MEMBERSHIP: Final = "tests/chassis/test_membership.py::test_"
BACKOFF: Final = "tests/chassis/test_backoff.py::test_"

KAFKA_EDITS: Final = (
    Edit(
        "chassis/tls.py",
        "broker-of-any-name",
        "        context.load_default_certs()\n    return context",
        "        context.load_default_certs()\n    context.check_hostname = False\n    return context",
        (f"{CLUSTER}a_broker_is_always_verified_and_for_its_host_name",),
    ),
    Edit(
        "chassis/kafka/cluster.py",
        "password-without-tls",
        "return frozenset(), frozenset()",
        'return frozenset(), PASSWORD_FIELDS | TLS_FIELDS | TOKEN_FIELDS | {"scope"}',
        (f"{CLUSTER}what_would_have_no_effect_is_refused",),
    ),
    Edit(
        "chassis/kafka/tokens.py",
        "token-past-its-end",
        "life_s - min(EARLY * life_s, EARLY_MAX_S)",
        "life_s + min(EARLY * life_s, EARLY_MAX_S)",
        (f"{TOKENS}a_token_is_used_until_shortly_before_its_end",),
    ),
    Edit(
        "chassis/kafka/tokens.py",
        "refused-token-again",
        'self._token, self._until = "", 0.0',
        'self._token = ""',
        (f"{TOKENS}a_token_that_was_refused_is_not_used_again",),
    ),
    Edit(
        "chassis/kafka/tokens.py",
        "refusal-taken-for-a-welcome",
        "        if payload:\n            raise",
        "        if payload and False:\n            raise",
        (f"{TOKENS}an_answer_to_a_token_is_a_refusal",),
    ),
    Edit(
        "chassis/kafka/consumer.py",
        "refused-and-hasty",
        "if self.handled == 0 or is_refused else 1",
        "if self.handled == 0 else 1",
        (f"{BACKOFF}so_it_does_where_others_are_read_between",),
    ),
    Edit(
        "chassis/kafka/consumer.py",
        "held-back-for-another",
        "        self.session.held.parts.clear()",
        "        self.session.held.parts.copy()",
        (
            f"{CONSUMER}what_is_held_back_of_partitions_that_are_taken_away_is_left_to_their_next_reader",
        ),
    ),
    Edit(
        "chassis/kafka/held_back.py",
        "held-back-for-ever",
        "if polled and self._may_wait(now):",
        "if self.parts and self._may_wait(now):",
        (f"{CONSUMER}what_is_only_projected_waits_no_longer_than_a_poll_in_which_nothing_comes",),
    ),
    Edit(
        "chassis/kafka/membership.py",
        "refused-session-again",
        "return max(USUAL_MIN_S, 2 * refused_s)",
        "return max(0.0, refused_s)",
        (f"{MEMBERSHIP}a_session_that_a_broker_refuses_is_made_longer_with_one_line",),
    ),
    Edit(
        "chassis/kafka/membership.py",
        "no-beat-may-be-late",
        "session_ms // BEATS",
        "session_ms",
        (f"{MEMBERSHIP}three_heartbeats_of_a_session_may_be_late",),
    ),
)
