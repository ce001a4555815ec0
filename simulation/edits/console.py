"""Bugs in what the console makes of the log, and in its repairs at a terminal."""

from typing import Final

from simulation.edits.edit import Edit

FOLD: Final = "console/fold.py"
FLOW: Final = "console/flow.py"
STORE: Final = "console/store.py"
OF_FOLD: Final = "tests/console/test_fold.py::test_"
OF_FLOW: Final = "tests/console/test_flow.py::test_"
OF_TOP: Final = "tests/console/test_top.py::test_"
OF_STORE: Final = "tests/integration/test_console_store.py::test_"

CONSOLE_EDITS: Final = (
    Edit(
        FOLD,
        "event-that-comes-last-counts",
        "known.sequence < sequence",
        "known.sequence != sequence",
        (f"{OF_FOLD}the_order_in_which_events_come_and_how_often_changes_nothing",),
    ),
    Edit(
        FOLD,
        "reason-on-the-way-counts-before-the-end",
        "rank = 0 if identity in _LAST_OF_FIRST else 1",
        "rank = 1",
        (f"{OF_FOLD}a_cancelled_order_has_the_reason_of_what_ended_it",),
    ),
    Edit(
        FLOW,
        "order-waits-for-what-was-decided",
        "        and not any(event in seen for event in hop.leads_to)\n",
        "",
        (f"{OF_FLOW}points_that_are_awarded_again_are_not_deducted_again",),
    ),
    Edit(
        FLOW,
        "call-is-no-place-to-wait",
        "edges = (*found, *(_CALLS[at] for at in states.items() if at in _CALLS))",
        "edges = (*found,)",
        (f"{OF_FLOW}an_order_whose_payment_is_being_asked_for_waits_for_the_provider",),
    ),
    Edit(
        STORE,
        "offsets-are-not-stored",
        "        await connection.execute(NEXT_OFFSETS, *_columns(places, 3))\n",
        "        assert places is not None\n",
        (f"{OF_STORE}how_far_was_read_is_stored_with_what_was_read",),
    ),
    Edit(
        STORE,
        "repeated-event-counts-again",
        "known[id_].order.events += number",
        "known[id_].order.events += number + 1",
        (f"{OF_STORE}a_batch_that_is_taken_twice_changes_nothing",),
    ),
    Edit(
        STORE,
        "reader-overlooks-a-rebuild",
        "if await generation(connection) != of:",
        "if await generation(connection) < of:",
        (f"{OF_STORE}who_reads_notices_that_all_was_forgotten",),
    ),
    Edit(
        "console/dropping.py",
        "order-in-flight-is-dropped",
        "WHERE o.quiet_at < $1 ORDER BY o.quiet_at",
        "WHERE o.newest_at < $1 ORDER BY o.newest_at",
        (f"{OF_STORE}orders_that_were_settled_long_ago_are_dropped_and_none_in_flight",),
    ),
    Edit(
        STORE,
        "event-of-a-dropped-order-begins-another",
        '    known |= {row["id"]: _dropped(row) for row in back}\n',
        "",
        (f"{OF_STORE}an_event_of_an_order_that_was_dropped_finds_it_where_it_stood",),
    ),
    Edit(
        "console/terminal/app.py",
        "repair-unconfirmed",
        'self.dismiss(event.key == "y")',
        'self.dismiss(event.key != "x")',
        (f"{OF_TOP}what_is_not_confirmed_is_left[n]",),
    ),
    Edit(
        "console/web/repairs.py",
        "repair-unrecorded",
        "            self.plans[plan.id] = plan\n            raise\n",
        "            self.plans[plan.id] = plan\n",
        (f"{OF_TOP}a_repair_that_is_not_recorded_is_not_begun",),
    ),
)
