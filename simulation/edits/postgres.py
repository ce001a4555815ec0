"""Bugs in the store in PostgreSQL, the relay and retention."""

from functools import partial
from typing import Final

from simulation.edits.edit import Edit

CONDEMNED: Final = "tests/integration/test_condemned.py::test_"
ACCESS: Final = "tests/integration/test_database_access.py::test_"
CACHE: Final = "tests/integration/test_state_cache.py::test_"
STORES: Final = "tests/integration/test_stores.py::test_"
GUARDS: Final = "tests/integration/test_guards.py::test_"
TRANSACTIONS: Final = "tests/integration/test_transactions.py::test_"
EFFECTS: Final = "tests/integration/test_outstanding.py::test_"
REFUSED: Final = "tests/integration/test_refused_rows.py::test_"
ROLLING: Final = "tests/integration/test_rolling_deploy.py::test_"
RETENTION: Final = "tests/integration/test_retention.py::test_"

_clauses = partial(Edit, "chassis/postgres/clauses.py")
_outbox = partial(Edit, "chassis/postgres/outbox.py")
_sql = partial(Edit, "chassis/postgres/sql.py")
_tables = partial(Edit, "chassis/postgres/state_tables.py")

POSTGRES_EDITS: Final = (
    _tables(
        "own-read-unguarded",
        'clauses.append(Clause(f"same_{self.table}", query, values, rows=len(there)))',
        "pass",
        (f"{CACHE}what_changes_nothing_by_a_state_that_is_no_more_is_decided_anew[postgres]",),
    ),
    _clauses(
        "numbered-before-states",
        """        *clauses,
        *_inbox(result),
        *_parked_keys(result),
        *_answers(result),
        *_unparked(result),
        *of_outbox(result.outbox),
""",
        """        *of_outbox(result.outbox),
        *clauses,
        *_inbox(result),
        *_parked_keys(result),
        *_answers(result),
        *_unparked(result),
""",
        (f"{CACHE}events_are_numbered_after_their_state_is_written",),
    ),
    _tables(
        "version-unchecked",
        " AND old.version = new.loaded_version RETURNING 1",
        " AND new.loaded_version >= 0 RETURNING 1",
        (f"{TRANSACTIONS}of_two_later_messages_of_an_order_the_second_starts_over",),
    ),
    Edit(
        "chassis/outbox/recent.py",
        "relayed-unread",
        "        self._is_doubted |= result.read.is_read\n",
        "",
        (f"{TRANSACTIONS}what_waited_for_another_is_not_relayed_before_it[postgres]",),
    ),
    _clauses(
        "inbox-unwritten",
        "    if ids := sorted(result.inbox):",
        "    if (ids := sorted(result.inbox)) and not ids:",
        (f"{STORES}a_message_that_comes_again_changes_nothing[postgres]",),
    ),
    _tables(
        "shared-change-unguarded",
        "WHERE {self._is_same} RETURNING 1",
        "WHERE now.{self.key} = row.{self.key} RETURNING 1",
        (f"{CACHE}the_last_piece_is_sold_once_whoever_knew_of_it[postgres]",),
    ),
    _tables(
        "shared-read-unguarded",
        "JOIN {rows} ON {self._is_same}",
        "JOIN {rows} ON now.{self.key} = row.{self.key}",
        (f"{CACHE}stock_that_was_known_to_be_short_is_sold_when_another_has_it[postgres]",),
    ),
    _tables(
        "absent-unguarded",
        "        if missing := sorted(set(absent) - new.keys()):",
        "        if (missing := sorted(set(absent) - new.keys())) and not missing:",
        (f"{CACHE}stock_that_was_known_to_be_missing_is_sold_when_another_has_it[postgres]",),
    ),
    _sql(
        "parked-overtaken",
        'PARKED = "SELECT FROM parked WHERE key = ANY({keys}::text[])"',
        'PARKED = "SELECT FROM parked WHERE key = ANY({keys}::text[]) AND false"',
        (f"{CACHE}it_does_not_overtake_what_another_has_parked[postgres]",),
    ),
    _tables(
        "shared-unlocked",
        '(" FOR UPDATE" if self.lock else "")',
        '""',
        (f"{GUARDS}who_waits_for_a_row_that_orders_share_decides_once[postgres, reading-there]",),
    ),
    _tables(
        "first-writers-unlocked",
        "if self.lock and (missing",
        "if not self.lock and (missing",
        (f"{GUARDS}who_waits_for_a_row_that_orders_share_decides_once[postgres, reading-absent]",),
    ),
    _tables(
        "own-absence-unguarded",
        'clauses.append(Clause(f"no_{self.table}", query, {"keys": absent}, rows=0))',
        "pass",
        (
            f"{CACHE}an_order_that_is_taken_for_absent_is_decided_anew_when_another_has_it[postgres]",
        ),
    ),
    _tables(
        "own-read-unlocked",
        " FOR SHARE OF {self.table}",
        "",
        (f"{GUARDS}what_changes_nothing_waits_for_who_is_changing_the_order[postgres]",),
    ),
    Edit(
        "chassis/postgres/statement.py",
        "conflict-unnoticed",
        "require_row_counts(ARRAY[{', '.join(counts)}]::bigint[], ${number + 1})",
        "(ARRAY[{', '.join(counts)}]::bigint[] IS NOT NULL OR ${number + 1}::bigint[] IS NULL)",
        (f"{TRANSACTIONS}of_two_later_messages_of_an_order_the_second_starts_over[postgres]",),
    ),
    _clauses(
        "refused-key-unguarded",
        'clauses.append(Clause("no_answers", sql.UNANSWERED, values, rows=0))',
        "pass",
        (
            f"{TRANSACTIONS}an_idempotency_key_that_two_use_at_once_is_answered_once[postgres-rolls back]",
        ),
    ),
    _clauses(
        "refused-outcome-unguarded",
        'clauses.append(Clause("no_inbox", sql.ENTERED, {"ids": absent}, rows=0))',
        "pass",
        (
            f"{GUARDS}an_outcome_that_comes_again_is_a_repeat_also_where_the_rules_refuse_it[postgres]",
        ),
    ),
    _clauses(
        "key-used-twice",
        'Clause("new_answers", sql.ANSWER, values, rows=len(rows))',
        'Clause("new_answers", sql.ANSWER, values)',
        (f"{TRANSACTIONS}an_idempotency_key_that_two_use_at_once_is_answered_once",),
    ),
    _sql(
        "lease-for-nothing",
        "UPDATE effects SET due_at = now() + $3,",
        "UPDATE effects SET due_at = due_at + 0 * $3::interval,",
        (f"{EFFECTS}what_is_due_is_one_instances_until_its_lease_is_over",),
    ),
    _sql(
        "asked-before-published",
        "    AND NOT EXISTS (SELECT FROM outbox WHERE outbox.key = effects.key AND outbox.topic <> $4)\n",
        "    AND $4::text IS NOT NULL\n",
        (f"{EFFECTS}nobody_outside_is_asked_for_what_is_not_in_the_log",),
    ),
    _sql(
        "held-up-by-a-copy",
        "WHERE outbox.key = effects.key AND outbox.topic <> $4)",
        "WHERE outbox.key = effects.key AND $4::text IS NOT NULL)",
        (f"{REFUSED}a_copy_that_is_refused_holds_up_no_effect_of_its_key",),
    ),
    _sql(
        "refused-overtaken",
        "AND head.key = outbox.key AND head.id < outbox.id",
        "AND head.key = outbox.key AND head.id > outbox.id",
        (f"{REFUSED}later_rows_of_its_key_wait_and_copies_of_dead_letters_do_not",),
    ),
    _sql(
        "waits-for-a-copy",
        "WHERE head.refused IS NOT NULL AND head.topic <> $3",
        "WHERE head.refused IS NOT NULL",
        (f"{REFUSED}nothing_waits_for_a_copy_of_a_dead_letter",),
    ),
    _sql(
        "copies-wait",
        "AND (topic = $3 OR NOT EXISTS (",
        "AND ($3::text IS NULL OR NOT EXISTS (",
        (f"{REFUSED}later_rows_of_its_key_wait_and_copies_of_dead_letters_do_not",),
    ),
    _sql(
        "leases-all",
        "ORDER BY {by_age} LIMIT $2 FOR UPDATE SKIP LOCKED",
        "ORDER BY {by_age} LIMIT $2 + 1 FOR UPDATE SKIP LOCKED",
        ("tests/integration/test_effect_leases.py",),
    ),
    _sql(
        "leases-any-kind",
        "due_at <= now() AND kind = ANY($1::text[])",
        "due_at <= now() AND $1::text[] IS NOT NULL",
        (f"{EFFECTS}only_the_kinds_asked_for_are_leased",),
    ),
    _sql(
        "attempt-forgotten",
        "coalesce(attempt, substring(id FROM ':([0-9]{1,4})$')::smallint, 1)",
        "coalesce(attempt, 1)",
        (f"{ROLLING}the_attempt_of_an_effect_that_the_release_before_has_stored_is_in_its_id",),
    ),
    _sql(
        "effect-delayed-again",
        "ON CONFLICT (id) DO NOTHING RETURNING 1\n",
        "ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at RETURNING 1\n",
        (f"{TRANSACTIONS}what_is_owed_already_keeps_its_time",),
    ),
    _clauses(
        "timer-kept",
        'Clause("done_effects", sql.FINISH, {"ids": list(finished)})',
        'Clause("done_effects", sql.FINISH, {"ids": []})',
        (f"{EFFECTS}a_settled_order_needs_its_timer_no_more",),
    ),
    _sql(
        "everybody-leads",
        'LEAD = "SELECT pg_try_advisory_lock($1, $2)"',
        'LEAD = "SELECT $1::int + $2::int > 0"',
        (f"{STORES}one_leads_until_it_resigns[postgres]",),
    ),
    _sql(
        "newest-first",
        "topic <> ALL($2::text[]) ORDER BY id LIMIT $1",
        "topic <> ALL($2::text[]) ORDER BY id DESC LIMIT $1",
        (f"{STORES}rows_stand_in_the_order_of_decision[postgres]",),
    ),
    _outbox(
        "acknowledged-is-gone",
        "retention.KEEP if self.keep_days else retention.DELETE",
        "retention.DELETE",
        (f"{STORES}what_was_acknowledged_is_kept_for_a_time_in_its_order[postgres]",),
    ),
    Edit(
        "chassis/postgres/retention.py",
        "forgets-the-young",
        "FROM {table} WHERE {at} < $1",
        "FROM {table} WHERE {at} > $1",
        (f"{RETENTION}what_was_heard_long_ago_is_forgotten_and_the_rest_is_not",),
    ),
    Edit(
        "chassis/postgres/database.py",
        "any-host-trusted",
        '{"sslmode": "verify-full"}',
        '{"sslmode": "require"}',
        (f"{ACCESS}a_wrong_setting_ends_the_start_with_2_and_one_line_that_names_it[host]",),
    ),
    _outbox(
        "missing-right-unreported",
        "self.denied = self.database.explained(error)",
        'self.denied = ""',
        (f"{ACCESS}a_right_that_is_taken_away_is_named_and_nothing_is_lost",),
    ),
    Edit(
        "chassis/store_clock.py",
        "clock-believed",
        "if abs(now - here) > SKEW_MAX:",
        "if now < here - SKEW_MAX and now > here:",
        (f"{RETENTION}a_process_whose_clock_is_wrong_deletes_nothing",),
    ),
    Edit(
        "chassis/postgres/pools.py",
        "lock-of-a-machine-that-is-gone",
        "settings = {**PLANNED_ONCE, **ENDED_SOON}",
        "settings = {**PLANNED_ONCE}",
        (f"{CONDEMNED}the_server_notices_soon_that_a_machine_is_gone_without_a_word",),
    ),
)
