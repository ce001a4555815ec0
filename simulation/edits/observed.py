"""Bugs in how the process is checked, read from the log and handed on, and in what is logged of operators."""

from typing import Final

from simulation.edits.edit import Edit

LINT: Final = "tests/cli/test_lint.py::test_"
OBSERVED: Final = "tests/cli/test_observed.py::test_"
EXPORTED: Final = "tests/cli/test_exported.py::test_"
AUDIT: Final = "tests/chassis/test_audit.py::test_"

OBSERVED_EDITS: Final = (
    Edit(
        "saga_cli/lint/rules.py",
        "compensation-not-looked-for",
        "if step.back not in service.publishes or step.back not in caused:",
        "if step.back not in service.publishes:",
        (f"{LINT}a_rule_finds_the_declaration_that_breaks_it",),
    ),
    Edit(
        "saga_cli/lint/rules.py",
        "cycles-not-looked-for",
        "cycle = error.args[1][::-1]",
        "return",
        (f"{LINT}a_rule_finds_the_declaration_that_breaks_it",),
    ),
    Edit(
        "saga_cli/observed/flow.py",
        "undeclared-unnoticed",
        "is_declared = all(event",
        "is_declared = True or all(event",
        (
            f"{OBSERVED}what_nobody_declared_is_found",
            f"{OBSERVED}an_undeclared_edge_ends_the_command_with_1",
        ),
    ),
    Edit(
        "saga_cli/observed/variants.py",
        "variants-by-time",
        'return ", ".join(sorted(',
        'return ", ".join(list(',
        (f"{OBSERVED}the_order_of_what_has_one_cause_makes_no_variant",),
    ),
    Edit(
        "saga_cli/observed/objects.py",
        "customers-named",
        "if is_pseudonym(named):",
        "if named:",
        (
            f"{EXPORTED}no_export_names_a_customer_or_a_card",
            f"{EXPORTED}a_pseudonym_stays_and_a_name_becomes_a_number",
        ),
    ),
    Edit(
        "saga_cli/observed/objects.py",
        "orders-of-products",
        "    if not case.is_order:\n        event = step",
        "    if False:\n        event = step",
        (f"{EXPORTED}products_and_customers_make_no_orders",),
    ),
    Edit(
        "chassis/audit.py",
        "logged-before-it-is-stored",
        """        await self.inner.skip(topic, partition, offset, by, note)
        log_action(OperatorAction(by, SKIP, f"{topic}:{partition}:{offset}", note))""",
        """        log_action(OperatorAction(by, SKIP, f"{topic}:{partition}:{offset}", note))
        await self.inner.skip(topic, partition, offset, by, note)""",
        (f"{AUDIT}what_was_not_stored_is_no_line",),
    ),
    Edit(
        "chassis/audit.py",
        "repeated-actions-counted",
        "action_id=ids.new_id(),",
        'action_id="",',
        (f"{AUDIT}the_same_action_twice_is_two_lines",),
    ),
    Edit(
        "saga_cli/observed/sorted_cases.py",
        "cases-torn-apart",
        'crc32(record.key or b"")',
        "record.offset",
        (f"{EXPORTED}cases_come_by_subject_and_few_of_them_are_in_memory",),
    ),
)
