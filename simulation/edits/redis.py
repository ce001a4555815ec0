"""Bugs in the store in Redis and its scripts."""

from typing import Final

from simulation.edits.edit import Edit

STORES: Final = "tests/integration/test_stores.py::test_"
SCRIPTS: Final = "tests/simulation/test_scripts_all_or_nothing.py::test_"
BATCHES: Final = "tests/simulation/test_redis_batches.py::test_"
TWO_AT_ONCE: Final = "points_that_two_add_at_once_need_no_second_try_and_a_standing_does"

REDIS_EDITS: Final = (
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
