"""Bugs in the real stores: edits of SQL, scripts and leases, each of which named tests have to find."""

from dataclasses import dataclass
from typing import Final

KNOWN: Final = "tests/integration/test_known.py::test_"
STORES: Final = "tests/integration/test_stores.py::test_"
GUARDS: Final = "tests/integration/test_guards.py::test_"
TRANSACTIONS: Final = "tests/integration/test_transactions.py::test_"
OWED: Final = "tests/integration/test_owed.py::test_"
REFUSED: Final = "tests/integration/test_refused_rows.py::test_"
KEEPING: Final = "tests/integration/test_keeping.py::test_"
SCRIPTS: Final = "tests/simulation/test_scripts_all_or_nothing.py::test_"
BATCHES: Final = "tests/simulation/test_redis_batches.py::test_"
TWO_AT_ONCE: Final = "points_that_two_add_at_once_need_no_second_try_and_a_standing_does"


@dataclass(frozen=True, slots=True)
class Edit:
    """`was` stands once in the source file, and is `now` while the bug is switched on.

    One of `tests`, pytest's node ids, has to fail.
    """

    name: str
    file: str
    was: str
    now: str
    tests: tuple[str, ...]

    def of(self, source: str) -> str:
        """Raises ValueError where the source has changed so that the bug can't be put in."""
        if (count := source.count(self.was)) != 1:
            raise ValueError(f"{self.name}: {self.file} has {self.was!r} {count} times, not once")
        return source.replace(self.was, self.now)


_EDITS: Final = (
    Edit(
        "own-read-unguarded",
        "chassis/postgres/state_tables.py",
        'clauses.append(Clause(f"same_{self.table}", query, values, rows=len(there)))',
        "pass",
        (f"{KNOWN}what_changes_nothing_by_a_state_that_is_no_more_is_decided_anew[postgres]",),
    ),
    Edit(
        "numbered-before-states",
        "chassis/postgres/clauses.py",
        """        *clauses,
        *_inbox(result),
        *_parked_keys(result),
        *_answers(result),
        *_unparked(result),
        *_outbox(result),
""",
        """        *_outbox(result),
        *clauses,
        *_inbox(result),
        *_parked_keys(result),
        *_answers(result),
        *_unparked(result),
""",
        (f"{KNOWN}events_are_numbered_after_their_state_is_written",),
    ),
    Edit(
        "version-unchecked",
        "chassis/postgres/state_tables.py",
        " AND old.version = new.loaded_version RETURNING 1",
        " AND new.loaded_version >= 0 RETURNING 1",
        (f"{TRANSACTIONS}of_two_later_messages_of_an_order_the_second_starts_over",),
    ),
    Edit(
        "relayed-unread",
        "chassis/recent_outbox.py",
        "        self._is_doubted |= result.read.is_read\n",
        "",
        (f"{TRANSACTIONS}what_waited_for_another_is_not_relayed_before_it[postgres]",),
    ),
    Edit(
        "inbox-unwritten",
        "chassis/postgres/clauses.py",
        "    if ids := sorted(result.inbox):",
        "    if (ids := sorted(result.inbox)) and not ids:",
        (f"{STORES}a_message_that_comes_again_changes_nothing[postgres]",),
    ),
    Edit(
        "shared-change-unguarded",
        "chassis/postgres/state_tables.py",
        "WHERE {self._is_same} RETURNING 1",
        "WHERE now.{self.key} = row.{self.key} RETURNING 1",
        (f"{KNOWN}the_last_piece_is_sold_once_whoever_knew_of_it[postgres]",),
    ),
    Edit(
        "shared-read-unguarded",
        "chassis/postgres/state_tables.py",
        "JOIN {rows} ON {self._is_same}",
        "JOIN {rows} ON now.{self.key} = row.{self.key}",
        (f"{KNOWN}stock_that_was_known_to_be_short_is_sold_when_another_has_it[postgres]",),
    ),
    Edit(
        "absent-unguarded",
        "chassis/postgres/state_tables.py",
        "        if missing := sorted(set(absent) - new.keys()):",
        "        if (missing := sorted(set(absent) - new.keys())) and not missing:",
        (f"{KNOWN}stock_that_was_known_to_be_missing_is_sold_when_another_has_it[postgres]",),
    ),
    Edit(
        "parked-overtaken",
        "chassis/postgres/sql.py",
        'PARKED = "SELECT FROM parked WHERE key = ANY({keys}::text[])"',
        'PARKED = "SELECT FROM parked WHERE key = ANY({keys}::text[]) AND false"',
        (f"{KNOWN}it_does_not_overtake_what_another_has_parked[postgres]",),
    ),
    Edit(
        "shared-unlocked",
        "chassis/postgres/state_tables.py",
        '(" FOR UPDATE" if self.lock else "")',
        '""',
        (f"{GUARDS}who_waits_for_a_row_that_orders_share_decides_once[postgres, reading-there]",),
    ),
    Edit(
        "first-writers-unlocked",
        "chassis/postgres/state_tables.py",
        "if self.lock and (missing",
        "if not self.lock and (missing",
        (f"{GUARDS}who_waits_for_a_row_that_orders_share_decides_once[postgres, reading-absent]",),
    ),
    Edit(
        "own-absence-unguarded",
        "chassis/postgres/state_tables.py",
        'clauses.append(Clause(f"no_{self.table}", query, {"keys": absent}, rows=0))',
        "pass",
        (
            f"{KNOWN}an_order_that_is_taken_for_absent_is_decided_anew_when_another_has_it[postgres]",
        ),
    ),
    Edit(
        "own-read-unlocked",
        "chassis/postgres/state_tables.py",
        " FOR SHARE OF {self.table}",
        "",
        (f"{GUARDS}what_changes_nothing_waits_for_who_is_changing_the_order[postgres]",),
    ),
    Edit(
        "conflict-unnoticed",
        "chassis/postgres/statement.py",
        "require_row_counts(ARRAY[{', '.join(counts)}]::bigint[], ${number + 1})",
        "(ARRAY[{', '.join(counts)}]::bigint[] IS NOT NULL OR ${number + 1}::bigint[] IS NULL)",
        (f"{TRANSACTIONS}of_two_later_messages_of_an_order_the_second_starts_over[postgres]",),
    ),
    Edit(
        "refused-key-unguarded",
        "chassis/postgres/clauses.py",
        'clauses.append(Clause("no_answers", sql.UNANSWERED, values, rows=0))',
        "pass",
        (
            f"{TRANSACTIONS}an_idempotency_key_that_two_use_at_once_is_answered_once[postgres-rolls back]",
        ),
    ),
    Edit(
        "refused-outcome-unguarded",
        "chassis/postgres/clauses.py",
        'clauses.append(Clause("no_inbox", sql.ENTERED, {"ids": absent}, rows=0))',
        "pass",
        (
            f"{GUARDS}an_outcome_that_comes_again_is_a_repeat_also_where_the_rules_refuse_it[postgres]",
        ),
    ),
    Edit(
        "key-used-twice",
        "chassis/postgres/clauses.py",
        'Clause("new_answers", sql.ANSWER, values, rows=len(rows))',
        'Clause("new_answers", sql.ANSWER, values)',
        (f"{TRANSACTIONS}an_idempotency_key_that_two_use_at_once_is_answered_once",),
    ),
    Edit(
        "lease-for-nothing",
        "chassis/postgres/sql.py",
        "UPDATE effects SET due_at = now() + $3,",
        "UPDATE effects SET due_at = due_at + 0 * $3::interval,",
        (f"{OWED}what_is_due_is_one_instances_until_its_lease_is_over",),
    ),
    Edit(
        "asked-before-published",
        "chassis/postgres/sql.py",
        "    AND NOT EXISTS (SELECT FROM outbox WHERE outbox.key = effects.key AND outbox.topic <> $4)\n",
        "    AND $4::text IS NOT NULL\n",
        (f"{OWED}nobody_outside_is_asked_for_what_is_not_in_the_log",),
    ),
    Edit(
        "held-up-by-a-copy",
        "chassis/postgres/sql.py",
        "WHERE outbox.key = effects.key AND outbox.topic <> $4)",
        "WHERE outbox.key = effects.key AND $4::text IS NOT NULL)",
        (f"{REFUSED}a_copy_that_is_refused_holds_up_no_effect_of_its_key",),
    ),
    Edit(
        "refused-overtaken",
        "chassis/postgres/sql.py",
        "AND head.key = outbox.key AND head.id < outbox.id",
        "AND head.key = outbox.key AND head.id > outbox.id",
        (f"{REFUSED}later_rows_of_its_key_wait_and_copies_of_dead_letters_do_not",),
    ),
    Edit(
        "waits-for-a-copy",
        "chassis/postgres/sql.py",
        "WHERE head.refused IS NOT NULL AND head.topic <> $3",
        "WHERE head.refused IS NOT NULL",
        (f"{REFUSED}nothing_waits_for_a_copy_of_a_dead_letter",),
    ),
    Edit(
        "copies-wait",
        "chassis/postgres/sql.py",
        "AND (topic = $3 OR NOT EXISTS (",
        "AND ($3::text IS NULL OR NOT EXISTS (",
        (f"{REFUSED}later_rows_of_its_key_wait_and_copies_of_dead_letters_do_not",),
    ),
    Edit(
        "leases-all",
        "chassis/postgres/sql.py",
        "ORDER BY {by_age} LIMIT $2 FOR UPDATE SKIP LOCKED",
        "ORDER BY {by_age} LIMIT $2 + 1 FOR UPDATE SKIP LOCKED",
        ("tests/integration/test_effect_leases.py",),
    ),
    Edit(
        "leases-any-kind",
        "chassis/postgres/sql.py",
        "due_at <= now() AND kind = ANY($1::text[])",
        "due_at <= now() AND $1::text[] IS NOT NULL",
        (f"{OWED}only_the_kinds_asked_for_are_leased",),
    ),
    Edit(
        "owed-again",
        "chassis/postgres/sql.py",
        "ON CONFLICT (id) DO NOTHING RETURNING 1\n",
        "ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at RETURNING 1\n",
        (f"{TRANSACTIONS}what_is_owed_already_keeps_its_time",),
    ),
    Edit(
        "timer-kept",
        "chassis/postgres/clauses.py",
        'Clause("done_effects", sql.FINISH, {"ids": list(finished)})',
        'Clause("done_effects", sql.FINISH, {"ids": []})',
        (f"{OWED}a_settled_order_needs_its_timer_no_more",),
    ),
    Edit(
        "everybody-leads",
        "chassis/postgres/outbox.py",
        'query = "SELECT pg_try_advisory_lock($1, $2)"',
        'query = "SELECT $1::int + $2::int > 0"',
        (f"{STORES}one_leads_until_it_resigns[postgres]",),
    ),
    Edit(
        "newest-first",
        "chassis/postgres/sql.py",
        "topic <> ALL($2::text[]) ORDER BY id LIMIT $1",
        "topic <> ALL($2::text[]) ORDER BY id DESC LIMIT $1",
        (f"{STORES}rows_stand_in_the_order_of_decision[postgres]",),
    ),
    Edit(
        "acknowledged-is-gone",
        "chassis/postgres/outbox.py",
        "keeping.KEEP if self.keep_days else keeping.FORGET",
        "keeping.FORGET",
        (f"{STORES}what_was_acknowledged_is_kept_for_a_time_in_its_order[postgres]",),
    ),
    Edit(
        "forgets-the-young",
        "chassis/keeping.py",
        "FROM {table} WHERE {at} < $1",
        "FROM {table} WHERE {at} > $1",
        (f"{KEEPING}what_was_heard_long_ago_is_forgotten_and_the_rest_is_not",),
    ),
    Edit(
        "clock-believed",
        "chassis/keeping.py",
        "if abs(now - here) > SKEW_MAX:",
        "if now < here - SKEW_MAX and now > here:",
        (f"{KEEPING}a_process_whose_clock_is_wrong_deletes_nothing",),
    ),
)
_REDIS_EDITS: Final = (
    Edit(
        "script-forgets-messages",
        "chassis/redis/unit.py",
        'script.write("HSET", place, f"m:{message.id}", 1)',
        'script.write("HSET", place, "m:none", 1)',
        (f"{STORES}a_message_that_comes_again_changes_nothing[redis]",),
    ),
    Edit(
        "script-keeps-nothing",
        "chassis/redis/acknowledge.lua",
        "if ARGV[2] == '0' then return end",
        "if ARGV[2] ~= '' then return end",
        (f"{STORES}what_was_acknowledged_is_kept_for_a_time_in_its_order[redis]",),
    ),
    Edit(
        "script-checks-nothing",
        "chassis/redis/commit.lua",
        "if tostring(found or 0) ~= ARGV[at + 3] then",
        "if tostring(found or 0) ~= ARGV[at + 3] and false then",
        (f"{SCRIPTS}any_check_that_fails_leaves_nothing",),
    ),
    Edit(
        "script-takes-any-epoch",
        "chassis/redis/commit.lua",
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'LOST'} end",
        "redis.call('GET', KEYS[1])",
        (f"{SCRIPTS}any_check_that_fails_leaves_nothing",),
    ),
    Edit(
        "script-meets-types-late",
        "chassis/redis/commit.lua",
        "redis.call(size[command], key)",
        "redis.call('EXISTS', key, size[command])",
        (f"{SCRIPTS}a_key_of_another_type_is_met_before_the_first_write",),
    ),
    Edit(
        "script-counts-inexactly",
        "chassis/redis/commit.lua",
        "if not held or not by or not exact(held + by) then",
        "if not held or not by then",
        (f"{SCRIPTS}steps_of_one_script_are_added_up_before_the_first_write",),
    ),
    Edit(
        "script-checks-each-step-alone",
        "chassis/redis/commit.lua",
        "sums[name] = string.format('%.0f', held + by)",
        "sums[name] = nil",
        (f"{SCRIPTS}steps_of_one_script_are_added_up_before_the_first_write",),
    ),
    Edit(
        "script-needs-memory",
        "chassis/redis/commit.lua",
        "-- Compare and write, all or nothing",
        "#!lua flags=no-cluster\n-- Compare and write, all or nothing",
        ("tests/integration/test_redis_full.py::test_a_person_can_make_room_in_a_full_redis",),
    ),
    Edit(
        "redis-version-unchecked",
        "chassis/redis/unit.py",
        'script.check("HGET", place, "version", row.loaded_version or NOTHING)',
        'script.check("EXISTS", self.layout.keys.epoch, "", 1)',
        (f"{BATCHES}after_a_conflict_the_message_is_decided_anew",),
    ),
    Edit(
        "redis-standing-unchecked",
        "chassis/redis/unit.py",
        "            for name in table.compared:\n                script.check(",
        "            for name in ():\n                script.check(",
        (f"{BATCHES}{TWO_AT_ONCE}[a standing is compared]",),
    ),
    Edit(
        "redis-points-overwritten",
        "chassis/redis/unit.py",
        'script.write("HINCRBY", place, name, step)',
        'script.write("HSET", place, name, after[name] + 0 * step)',
        (f"{BATCHES}{TWO_AT_ONCE}[points are added up]",),
    ),
    Edit(
        "redis-message-unchecked",
        "chassis/redis/unit.py",
        'script.check("HEXISTS", place, f"m:{message.id}", 0)',
        'script.check("EXISTS", self.layout.keys.epoch, "", 1)',
        (f"{BATCHES}bytes_that_two_park_at_once_are_kept_once",),
    ),
    Edit(
        "redis-parked-overtaken",
        "chassis/redis/unit.py",
        'script.check("EXISTS", self.layout.keys.parked(key), "", 0)',
        'script.check("EXISTS", self.layout.keys.epoch, "", 1)',
        (f"{BATCHES}what_another_has_parked_meanwhile_is_not_overtaken",),
    ),
    Edit(
        "redis-redriven-twice",
        "chassis/redis/unit.py",
        'script.check("LINDEX", place, 0, entries[0])',
        'script.check("EXISTS", self.layout.keys.epoch, "", 1)',
        (f"{BATCHES}what_fails_again_replaces_no_other_message",),
    ),
    Edit(
        "redis-parked-key-lost",
        "chassis/redis/unit.py",
        'script.check("LLEN", place, "", 1 + len(others))',
        'script.check("EXISTS", self.layout.keys.epoch, "", 1)',
        (f"{BATCHES}a_redrive_sees_what_happened_since_it_looked[another parks]",),
    ),
    Edit(
        "redis-discarded-key-lost",
        "chassis/redis/inspection.py",
        'script.check("LLEN", place, "", len(letters))',
        'script.check("EXISTS", names.epoch, "", 1)',
        (f"{BATCHES}a_discard_sees_what_happened_since_it_looked[another parks]",),
    ),
    Edit(
        "redis-discarded-twice",
        "chassis/redis/inspection.py",
        'script.check("LINDEX", place, letters.index(chosen), chosen[0])',
        'script.check("EXISTS", names.epoch, "", 1)',
        (f"{BATCHES}a_discard_sees_what_happened_since_it_looked[another redrives]",),
    ),
    Edit(
        "redis-settled-twice",
        "chassis/redis/inspection.py",
        'script.check("HEXISTS", names.refused, id_, 1)',
        'script.check("EXISTS", names.epoch, "", 1)',
        (f"{BATCHES}a_refused_row_is_settled_once",),
    ),
)
EDITS: Final = {edit.name: edit for edit in (*_EDITS, *_REDIS_EDITS)}
