"""Bugs in the store in Redis and its scripts."""

from functools import partial
from typing import Final

from simulation.edits.edit import Edit

STORES: Final = "tests/integration/test_stores.py::test_"
SCRIPTS: Final = "tests/simulation/test_scripts_all_or_nothing.py::test_"
ACCESS: Final = "tests/integration/test_redis_access.py::test_"
BATCHES: Final = "tests/simulation/test_redis_batches.py::test_"
TWO_AT_ONCE: Final = "points_that_two_add_at_once_need_no_second_try_and_a_standing_does"

PROJECTED: Final = "tests/simulation/test_projected_hash.py::test_"

UNIT: Final = "chassis/redis/unit.py"
_commit = partial(Edit, "chassis/redis/commit.lua")
_unit = partial(Edit, UNIT)
_fold = partial(Edit, "chassis/redis/projected.py")


def _unchecked(file: str, epoch_key: str, name: str, check: str, test: str) -> Edit:
    """A check that always holds is in place of one."""
    return Edit(file, name, check, f'script.check("EXISTS", {epoch_key}, "", 1)', (test,))


_unit_check = partial(_unchecked, UNIT, "self.layout.keys.epoch")
_inspection_check = partial(_unchecked, "chassis/redis/inspection.py", "names.epoch")

REDIS_EDITS: Final = (
    _unit(
        "script-forgets-messages",
        'script.write("HSET", place, f"m:{message.id}", 1)',
        'script.write("HSET", place, "m:none", 1)',
        (f"{STORES}a_message_that_comes_again_changes_nothing[redis]",),
    ),
    Edit(
        "chassis/redis/acknowledge.lua",
        "script-keeps-nothing",
        "if ARGV[2] == '0' then return end",
        "if ARGV[2] ~= '' then return end",
        (f"{STORES}what_was_acknowledged_is_kept_for_a_time_in_its_order[redis]",),
    ),
    _commit(
        "script-checks-nothing",
        "if tostring(found or 0) ~= ARGV[at + 3] then",
        "if tostring(found or 0) ~= ARGV[at + 3] and false then",
        (f"{SCRIPTS}any_check_that_fails_leaves_nothing",),
    ),
    _commit(
        "script-takes-any-epoch",
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'LOST'} end",
        "redis.call('GET', KEYS[1])",
        (f"{SCRIPTS}any_check_that_fails_leaves_nothing",),
    ),
    _commit(
        "script-meets-types-late",
        "redis.call(size[command], key)",
        "redis.call('EXISTS', key, size[command])",
        (f"{SCRIPTS}a_key_of_another_type_is_met_before_the_first_write",),
    ),
    _commit(
        "script-meets-rights-late",
        "if not allowed[command] and not redis.acl_check_cmd(",
        "if false and not redis.acl_check_cmd(",
        (f"{ACCESS}a_right_that_only_a_script_needs_is_met_before_its_first_write",),
    ),
    _commit(
        "script-counts-inexactly",
        "if not held or not by or not exact(held + by) then",
        "if not held or not by then",
        (f"{SCRIPTS}steps_of_one_script_are_added_up_before_the_first_write",),
    ),
    _commit(
        "script-checks-each-step-alone",
        "sums[name] = string.format('%.0f', held + by)",
        "sums[name] = nil",
        (f"{SCRIPTS}steps_of_one_script_are_added_up_before_the_first_write",),
    ),
    _commit(
        "script-needs-memory",
        "-- Compare and write, all or nothing",
        "#!lua flags=no-cluster\n-- Compare and write, all or nothing",
        ("tests/integration/test_redis_full.py::test_a_person_can_make_room_in_a_full_redis",),
    ),
    Edit(
        "chassis/redis/connections.py",
        "any-redis-trusted",
        'trusting(self.ca_certs or "")',
        '__import__("ssl")._create_unverified_context()',
        (f"{ACCESS}a_wrong_setting_ends_the_start_with_2_and_one_line_that_names_it[authority]",),
    ),
    _unit_check(
        "redis-version-unchecked",
        'script.check("HGET", place, "version", row.loaded_version or NOTHING)',
        f"{BATCHES}after_a_conflict_the_message_is_decided_anew",
    ),
    _unit(
        "redis-standing-unchecked",
        "            for name in table.compared:\n                script.check(",
        "            for name in ():\n                script.check(",
        (f"{BATCHES}{TWO_AT_ONCE}[a standing is compared]",),
    ),
    _unit(
        "redis-points-overwritten",
        'script.write("HINCRBY", place, name, step)',
        'script.write("HSET", place, name, after[name] + 0 * step)',
        (f"{BATCHES}{TWO_AT_ONCE}[points are added up]",),
    ),
    _unit_check(
        "redis-message-unchecked",
        'script.check("HEXISTS", place, f"m:{message.id}", 0)',
        f"{BATCHES}bytes_that_two_park_at_once_are_kept_once",
    ),
    _unit_check(
        "redis-parked-overtaken",
        'script.check("EXISTS", self.layout.keys.parked(key), "", 0)',
        f"{BATCHES}what_another_has_parked_meanwhile_is_not_overtaken",
    ),
    _unit_check(
        "redis-redriven-twice",
        'script.check("LINDEX", place, 0, entries[0])',
        f"{BATCHES}what_fails_again_replaces_no_other_message",
    ),
    _unit_check(
        "redis-parked-key-lost",
        'script.check("LLEN", place, "", 1 + len(others))',
        f"{BATCHES}a_redrive_sees_what_happened_since_it_looked[another parks]",
    ),
    _inspection_check(
        "redis-discarded-key-lost",
        'script.check("LLEN", place, "", len(letters))',
        f"{BATCHES}a_discard_sees_what_happened_since_it_looked[another parks]",
    ),
    _inspection_check(
        "redis-discarded-twice",
        'script.check("LINDEX", place, letters.index(chosen), chosen[0])',
        f"{BATCHES}a_discard_sees_what_happened_since_it_looked[another redrives]",
    ),
    _inspection_check(
        "redis-settled-twice",
        'script.check("HEXISTS", names.refused, id_, 1)',
        f"{BATCHES}a_refused_row_is_settled_once",
    ),
    _fold(
        "erased-customer-found-by-name",
        "if before and redis.call('HGET', KEYS[3], before) == key then",
        "if before and false then",
        (f"{PROJECTED}a_tombstone_leaves_nothing_of_a_customer",),
    ),
    _fold(
        "old-tombstone-takes-the-new-pseudonym",
        "if before and redis.call('HGET', KEYS[3], before) == key then",
        "if before then",
        (f"{PROJECTED}an_old_tombstone_takes_nothing_from_a_customer_who_came_back",),
    ),
)
