"""Bugs in what a deploy is held against, and in how a process comes up and goes down beside others."""

from typing import Final

from simulation.edits.edit import Edit

CHECK: Final = "tests/cli/test_deploy_check.py::test_"
CONTRACTS: Final = "tests/contract/test_contracts.py::test_"
VERSION: Final = "tests/chassis/test_version.py::test_"

POOLED: Final = "tests/chassis/test_pooled.py::test_"
LEADING: Final = "tests/chassis/test_leading.py::test_"

MIGRATIONS: Final = "tests/integration/test_migrations.py::test_"

DEPLOY_EDITS: Final = (
    Edit(
        "chassis/postgres/migrations.py",
        "later-schemas-refused",
        'is_new = (await _revision(connection) or "") < newest(folder)',
        "is_new = await _revision(connection) != newest(folder)",
        (f"{MIGRATIONS}a_schema_of_a_later_release_is_left_as_it_is",),
    ),
    Edit(
        "chassis/postgres/pooled.py",
        "shared-sessions-taken",
        "if is_shared or await _says_no(",
        "if is_shared and await _says_no(",
        (f"{POOLED}a_session_that_others_are_given_in_between_is_refused",),
    ),
    Edit(
        "chassis/outbox/relay.py",
        "lead-kept-while-the-producer-stops",
        "if await self._finish():\n            await self.outbox.resign()",
        "if await self._finish():\n            pass",
        (f"{LEADING}who_ends_lets_another_lead_as_soon_as_nothing_is_on_its_way",),
    ),
    Edit(
        "saga_cli/deploy/contracts.py",
        "contracts-by-name-alone",
        "elif name not in {wire_type, *wanted.reads}:",
        "elif not name:",
        (
            f"{CONTRACTS}what_a_consumer_would_stumble_over_is_found",
            f"{CHECK}a_new_version_waits_until_its_readers_have_gone_first",
        ),
    ),
    Edit(
        "saga_cli/deploy/contracts.py",
        "fields-not-compared",
        "elif name == wire_type:",
        "elif not wire_type:",
        (f"{CONTRACTS}what_a_consumer_would_stumble_over_is_found",),
    ),
    Edit(
        "saga_cli/deploy/released.py",
        "unknown-names-passed-over",
        "is_passed_over = name in map(name_of, known) and name not in",
        "is_passed_over = name not in",
        (f"{CHECK}each_version_in_the_log_has_to_be_read",),
    ),
    Edit(
        "saga_cli/deploy/checking.py",
        "migrations-forward-alone",
        'for one, other, whose in ((new, old, "the old"), (old, new, "the new")):',
        'for one, other, whose in ((new, old, "the old"),):',
        (f"{CHECK}a_migration_that_does_not_only_add_refuses_both_ways",),
    ),
    Edit(
        "saga_cli/deploy/checking.py",
        "states-not-compared",
        "return {*old.states} - {*new.states}",
        "return {*old.states} - {*old.states}",
        (f"{CHECK}a_state_that_can_not_be_read_refuses_where_orders_are_in_it",),
    ),
    Edit(
        "saga_cli/deploy/asking.py",
        "what-was-read-is-read-again",
        "(done or {}).get(place, span.start)",
        "span.start",
        (f"{CHECK}what_a_service_has_read_is_not_read_again",),
    ),
    Edit(
        "saga_cli/deploy/checking.py",
        "silence-is-consent",
        'yield DeployReason("running", f"{where} {found.silent}")',
        'yield DeployReason("running", f"{where} {found.silent}", refuses=False)',
        (f"{CHECK}what_runs_has_to_answer_and_to_be_one_of_the_two",),
    ),
    Edit(
        "chassis/service.py",
        "projections-not-shown",
        "self.wire_types.union(*(e.wire_types for e in folded))",
        "self.wire_types",
        (f"{VERSION}a_service_says_which_release_runs_and_what_it_writes_and_reads",),
    ),
)
