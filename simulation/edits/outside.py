"""Bugs in what keeps bytes and texts from outside within their bounds."""

from typing import Final

from simulation.edits.edit import Edit

TRACING: Final = "tests/chassis/test_tracing.py::test_"
SETTINGS: Final = "tests/payment/test_settings.py::test_"

OUTSIDE_EDITS: Final = (
    Edit(
        "chassis/kafka/batches.py",
        "records-unbounded",
        "_header(raw).records > RECORDS_MAX",
        "_header(raw).records > 1_000 * RECORDS_MAX",
        ("tests/chassis/test_batches.py::test_how_many_records_a_batch_unpacks_to_is_bounded[4]",),
    ),
    Edit(
        "chassis/tracing.py",
        "trace-of-any-length",
        "while len(tracestate) > TRACESTATE_MAX:",
        "while len(tracestate) > 100 * TRACESTATE_MAX:",
        (f"{TRACING}a_tracestate_is_kept_up_to_the_length_that_others_have_to_take",),
    ),
    Edit(
        "payment_svc/stripe_outcomes.py",
        "search-unquoted",
        '''return f"'{escaped}'"''',
        '''return f"'{text}'"''',
        ("tests/payment/test_stripe_outcomes.py::test_no_text_ends_its_quotes_in_a_search",),
    ),
    Edit(
        "chassis/urls.py",
        "key-in-clear",
        'not _is_this_machine(url.hostname or "")',
        "not url.hostname",
        (
            f"{SETTINGS}what_is_missing_fails_the_start_in_one_line_that_names_it",
            "tests/chassis/test_urls.py::test_a_secret_is_sent_nowhere_else",
        ),
    ),
    Edit(
        "saga_cli/terminal.py",
        "cells-are-markup",
        "shown.add_row(*(Text(plain(cell)) for cell in cells))",
        "shown.add_row(*map(plain, cells))",
        ("tests/cli/test_terminal.py::test_a_row_from_outside_is_neither_markup_nor_an_error",),
    ),
)
