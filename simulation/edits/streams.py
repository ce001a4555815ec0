"""Bugs in streams of events: steps that come twice, places that are not freed, ends that come early."""

from typing import Final

from simulation.edits.edit import Edit

STREAMS: Final = "tests/chassis/test_event_streams.py::test_"
STEPS: Final = "tests/domain/test_order_steps.py::test_"

STREAM_EDITS: Final = (
    Edit(
        "chassis/http/event_streams.py",
        "stream-without-a-limit",
        "if self._by_caller.total() >= self.most:",
        "if self._by_caller.total() > 10 * self.most:",
        (f"{STREAMS}there_are_so_many_streams_and_the_place_of_one_that_ends_is_free",),
    ),
    Edit(
        "chassis/http/event_streams.py",
        "stream-keeps-its-place",
        "            self._by_caller[caller] -= 1\n",
        "",
        (
            f"{STREAMS}there_are_so_many_streams_and_the_place_of_one_that_ends_is_free",
            f"{STREAMS}a_caller_has_so_many_and_others_are_let_in",
        ),
    ),
    Edit(
        "chassis/http/event_streams.py",
        "stream-outlives-its-process",
        "        self.notify(tuple(self._following))\n",
        "",
        (f"{STREAMS}it_ends_with_the_process_and_not_before_what_there_is_is_sent",),
    ),
    Edit(
        "chassis/http/event_streams.py",
        "stream-repeats-its-steps",
        "                sent = event.id\n",
        "",
        (f"{STREAMS}what_was_is_sent_then_what_comes_and_the_last_one_ends_it",),
    ),
    Edit(
        "order_svc/following.py",
        "settled-too-early",
        "is_last = reached in SETTLED and reached == type(state).__name__.upper()",
        "is_last = type(state).__name__.upper() in SETTLED",
        (f"{STEPS}a_state_that_the_steps_have_not_reached_ends_nothing",),
    ),
    Edit(
        "order_svc/following.py",
        "steps-from-an-unknown-one",
        "            if sent and not rows:\n",
        "            if sent < 0:\n",
        (f"{STEPS}a_client_gets_what_follows_its_last_event_and_all_of_it_after_an_unknown_one",),
    ),
)
