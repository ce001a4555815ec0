"""Bugs in how a client is let into Kafka, and in what it holds back."""

from typing import Final

from simulation.edits.edit import Edit

CLUSTER: Final = "tests/chassis/test_cluster.py::test_"
TOKENS: Final = "tests/chassis/test_kafka_tokens.py::test_"
CONSUMER: Final = "tests/chassis/test_consumer.py::test_"
GROWN: Final = "tests/chassis/test_grown.py::test_"
ACCESS: Final = "tests/cli/test_access.py::test_"
RECONCILE: Final = "tests/choreography/test_reconcile.py::test_"
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
        "loss-of-a-member-unnoticed",
        'if before not in {"", self._id}:',
        'if before not in {"", before}:',
        (f"{MEMBERSHIP}a_member_that_was_taken_for_dead_asks_for_twice_as_long",),
    ),
    Edit(
        "chassis/kafka/membership.py",
        "longer-session-not-asked-for",
        "            self._session.lost()\n            self._ask()",
        "            self._session.lost()",
        (f"{MEMBERSHIP}a_member_that_was_taken_for_dead_asks_for_twice_as_long",),
    ),
    Edit(
        "chassis/kafka/membership.py",
        "sessions-stay-long",
        "and now - self._changed_at >= CALM_S",
        "and now - self._changed_at < 0",
        (f"{MEMBERSHIP}after_calm_a_session_is_half_as_long_down_to_what_is_set",),
    ),
    Edit(
        "chassis/kafka/membership.py",
        "sessions-without-end",
        "min(max(LONGEST_S, self.shortest_s), 2 * asked_s)",
        "2 * asked_s",
        (f"{MEMBERSHIP}however_often_it_is_lost_a_session_is_never_longer_than_half_a_minute",),
    ),
    Edit(
        "chassis/kafka/membership.py",
        "no-beat-may-be-late",
        "session_ms // BEATS",
        "session_ms",
        (f"{MEMBERSHIP}three_heartbeats_of_a_session_may_be_late",),
    ),
    Edit(
        "chassis/kafka/consumer.py",
        "moved-taken-for-astray",
        "if not found.any_astray:",
        "if found.any_astray or not found.any_astray:",
        (f"{GROWN}an_event_that_moved_before_its_reader_knew_of_it_is_read",),
    ),
    Edit(
        "saga_cli/access/plan.py",
        "compacted-topic-grows",
        "return declared > 1 and not is_compacted(settings)",
        "return declared > 1",
        (f"{ACCESS}a_compacted_topic_keeps_its_partitions_as_a_key_is_erased_where_it_stands",),
    ),
    Edit(
        "saga_cli/erasure/proving.py",
        "tombstone-elsewhere-believed",
        "newest[record.place, record.key] =",
        "newest[LogPartition(topic, 0), record.key] =",
        ("tests/cli/test_erased.py::test_a_tombstone_in_another_partition_covers_nothing",),
    ),
    Edit(
        "guarantees/judge.py",
        "partitions-in-one-order",
        "place = (entry.topic, entry.partition, envelope.subject)",
        "place = (entry.topic, 0, envelope.subject)",
        (f"{RECONCILE}of_two_partitions_of_a_topic_that_has_grown_neither_is_before_the_other",),
    ),
    Edit(
        "saga_cli/history/reading.py",
        "former-homes-not-read",
        "homes_of(key, count)",
        "{min(homes_of(key, count))}",
        ("tests/cli/test_history.py::test_where_a_key_was_put_before_its_topic_grew_is_read_too",),
    ),
)
