"""Bugs in the real stores: edits of SQL, scripts and leases, each of which named tests have to find."""

from dataclasses import dataclass
from typing import Final

KNOWN: Final = "tests/integration/test_known.py::test_"
STORES: Final = "tests/integration/test_stores.py::test_"
TRANSACTIONS: Final = "tests/integration/test_transactions.py::test_"
OWED: Final = "tests/integration/test_owed.py::test_"
REFUSED: Final = "tests/integration/test_refused_rows.py::test_"
KEEPING: Final = "tests/integration/test_keeping.py::test_"


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
        "chassis/state_tables.py",
        'return [Part(f"same_{self.table}", query, values, rows=len(rows))]',
        "return []",
        (f"{KNOWN}what_changes_nothing_by_a_state_that_is_no_more_is_decided_anew[postgres]",),
    ),
    Edit(
        "numbered-before-states",
        "chassis/postgres.py",
        "parts += writing.of_outbox(work.outbox, after=parts)",
        "parts[:0] = writing.of_outbox(work.outbox)",
        (f"{KNOWN}events_are_numbered_after_their_state_is_written",),
    ),
    Edit(
        "version-unchecked",
        "chassis/state_tables.py",
        " AND old.version = new.was RETURNING 1",
        " AND new.was >= 0 RETURNING 1",
        (f"{TRANSACTIONS}of_two_later_messages_of_an_order_the_second_starts_over",),
    ),
    Edit(
        "relayed-unread",
        "chassis/postgres.py",
        """        states = await self._with_shared(connection, own, todo)
        self.fresh.doubt()  #""",
        """        self.fresh.doubt()
        states = await self._with_shared(connection, own, todo)  #""",
        (f"{TRANSACTIONS}what_waited_for_another_is_not_relayed_before_it[postgres, reading]",),
    ),
    Edit(
        "inbox-unwritten",
        "chassis/postgres_writing.py",
        "rows=len(ids))] if ids else []",
        "rows=len(ids))] if ids and not ids else []",
        (f"{STORES}a_message_that_comes_again_changes_nothing[postgres]",),
    ),
    Edit(
        "shared-change-unguarded",
        "chassis/state_tables.py",
        "WHERE now.{self.key} = row_key AND ({self._current}) = ({olds}) RETURNING 1",
        "WHERE now.{self.key} = row_key RETURNING 1",
        (f"{KNOWN}the_last_piece_is_sold_once_whoever_knew_of_it[postgres]",),
    ),
    Edit(
        "shared-read-unguarded",
        "chassis/state_tables.py",
        "ON now.{self.key} = row_key AND ({self._current}) = ({olds})",
        "ON now.{self.key} = row_key",
        (f"{KNOWN}stock_that_was_known_to_be_short_is_sold_when_another_has_it[postgres]",),
    ),
    Edit(
        "absent-unguarded",
        "chassis/state_tables.py",
        "        if absent:\n",
        "        if absent and not absent:\n",
        (f"{KNOWN}stock_that_was_known_to_be_missing_is_sold_when_another_has_it[postgres]",),
    ),
    Edit(
        "parked-overtaken",
        "chassis/postgres_sql.py",
        'PARKED = "SELECT FROM parked WHERE key = ANY($1::text[])"',
        'PARKED = "SELECT FROM parked WHERE key = ANY($1::text[]) AND false"',
        (f"{KNOWN}it_does_not_overtake_what_another_has_parked[postgres]",),
    ),
    Edit(
        "shared-unlocked",
        "chassis/state_tables.py",
        '(" FOR UPDATE" if self.lock else "")',
        '""',
        (f"{TRANSACTIONS}the_last_piece_is_decided_on_by_one_after_the_other",),
    ),
    Edit(
        "first-writers-unlocked",
        "chassis/state_tables.py",
        "if self.lock and (missing",
        "if not self.lock and (missing",
        (f"{TRANSACTIONS}the_first_writers_of_a_shared_row_come_one_after_the_other",),
    ),
    Edit(
        "revision-unchecked",
        "chassis/state_tables.py",
        "{newer if self.revision else ''}",
        "",
        (
            f"{TRANSACTIONS}the_second_writer_of_a_revision_starts_over_and_readers_do_not_wait",
            f"{OWED}two_writers_of_one_price_do_not_publish_one_revision_twice",
        ),
    ),
    Edit(
        "key-used-twice",
        "chassis/postgres_writing.py",
        'Part("new_answers", sql.ANSWER, columns(rows), rows=len(rows))',
        'Part("new_answers", sql.ANSWER, columns(rows))',
        (f"{TRANSACTIONS}an_idempotency_key_that_two_use_at_once_is_answered_once",),
    ),
    Edit(
        "lease-for-nothing",
        "chassis/postgres_sql.py",
        "UPDATE effects SET due_at = now() + $3,",
        "UPDATE effects SET due_at = due_at + 0 * $3::interval,",
        (f"{OWED}what_is_due_is_one_instances_until_its_lease_is_over",),
    ),
    Edit(
        "asked-before-published",
        "chassis/postgres_sql.py",
        "    AND NOT EXISTS (SELECT FROM outbox WHERE outbox.key = effects.key AND outbox.topic <> $4)\n",
        "    AND $4::text IS NOT NULL\n",
        (f"{OWED}nobody_outside_is_asked_for_what_is_not_in_the_log",),
    ),
    Edit(
        "held-up-by-a-copy",
        "chassis/postgres_sql.py",
        "WHERE outbox.key = effects.key AND outbox.topic <> $4)",
        "WHERE outbox.key = effects.key AND $4::text IS NOT NULL)",
        (f"{REFUSED}a_copy_that_is_refused_holds_up_no_effect_of_its_key",),
    ),
    Edit(
        "refused-overtaken",
        "chassis/postgres_sql.py",
        "AND head.key = outbox.key AND head.id < outbox.id",
        "AND head.key = outbox.key AND head.id > outbox.id",
        (f"{REFUSED}later_rows_of_its_key_wait_and_copies_of_dead_letters_do_not",),
    ),
    Edit(
        "waits-for-a-copy",
        "chassis/postgres_sql.py",
        "WHERE head.refused IS NOT NULL AND head.topic <> $3",
        "WHERE head.refused IS NOT NULL",
        (f"{REFUSED}nothing_waits_for_a_copy_of_a_dead_letter",),
    ),
    Edit(
        "copies-wait",
        "chassis/postgres_sql.py",
        "AND (topic = $3 OR NOT EXISTS (",
        "AND ($3::text IS NULL OR NOT EXISTS (",
        (f"{REFUSED}later_rows_of_its_key_wait_and_copies_of_dead_letters_do_not",),
    ),
    Edit(
        "leases-all",
        "chassis/postgres_sql.py",
        "ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        "ORDER BY due_at LIMIT $2 + 1 FOR UPDATE SKIP LOCKED",
        ("tests/integration/test_effect_leases.py",),
    ),
    Edit(
        "leases-any-kind",
        "chassis/postgres_sql.py",
        "due_at <= now() AND kind = ANY($1::text[])",
        "due_at <= now() AND $1::text[] IS NOT NULL",
        (f"{OWED}only_the_kinds_asked_for_are_leased",),
    ),
    Edit(
        "owed-again",
        "chassis/postgres_sql.py",
        "ON CONFLICT (id) DO NOTHING RETURNING 1\n",
        "ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at RETURNING 1\n",
        (f"{TRANSACTIONS}what_is_owed_already_keeps_its_time",),
    ),
    Edit(
        "timer-kept",
        "chassis/postgres_writing.py",
        'Part("done_effects", sql.FINISH, [list(done)])',
        'Part("done_effects", sql.FINISH, [[]])',
        (f"{OWED}a_settled_order_needs_its_timer_no_more",),
    ),
    Edit(
        "everybody-leads",
        "chassis/postgres_outbox.py",
        'query = "SELECT pg_try_advisory_lock($1, $2)"',
        'query = "SELECT $1::int + $2::int > 0"',
        (f"{STORES}one_leads_until_it_resigns[postgres]",),
    ),
    Edit(
        "newest-first",
        "chassis/postgres_sql.py",
        "topic <> ALL($2::text[]) ORDER BY id LIMIT $1",
        "topic <> ALL($2::text[]) ORDER BY id DESC LIMIT $1",
        (f"{STORES}rows_stand_in_the_order_of_decision[postgres]",),
    ),
    Edit(
        "acknowledged-is-gone",
        "chassis/postgres_outbox.py",
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
    Edit(
        "script-forgets-messages",
        "loyalty_svc/apply.lua",
        "redis.call('HSET', KEYS[2], 'm:' .. message, '1')",
        "redis.call('HSET', KEYS[2], 'm:' .. 'none', '1')",
        (f"{STORES}a_message_that_comes_again_changes_nothing[redis]",),
    ),
    Edit(
        "script-keeps-nothing",
        "loyalty_svc/acknowledge.lua",
        "if ARGV[2] == '0' then return end",
        "if ARGV[2] ~= '' then return end",
        (f"{STORES}what_was_acknowledged_is_kept_for_a_time_in_its_order[redis]",),
    ),
)
EDITS: Final = {edit.name: edit for edit in _EDITS}
