"""Bugs in what is measured, and in what spaces out batches."""

from typing import Final

from simulation.edits.edit import Edit

MEASURING: Final = "tests/chassis/test_measuring.py::test_"

MEASURED_EDITS: Final = (
    Edit(
        "chassis/kafka/lag.py",
        "lag-of-yesterday",
        "min(now - since, (now_ms",
        "max(now - since, (now_ms",
        (f"{MEASURING}what_was_not_read_was_not_there_when_nothing_was",),
    ),
    Edit(
        "chassis/outbox/relay.py",
        "pace-counts-rows",
        "len({row.key for _, row in rows if row.topic in self.together})",
        "len(rows)",
        ("tests/chassis/test_pace.py::test_a_relay_counts_the_keys_of_its_log",),
    ),
    Edit(
        "chassis/pace.py",
        "lone-batch-counts-full",
        "1.0 if n > 1 else self.lone",
        "1.0",
        ("tests/chassis/test_pace.py::test_a_batch_of_one_counts_as_its_share",),
    ),
    Edit(
        "chassis/shared_queries.py",
        "queries-unspaced",
        "            await self._pace.handled(len(taken))\n",
        "",
        (
            "tests/chassis/test_shared_queries.py::test_queries_are_spaced_and_those_who_ask_meanwhile_share_one",
        ),
    ),
    Edit(
        "chassis/metrics.py",
        "labels-unbounded",
        "value not in self._known and len(self._known) < VALUES_MAX",
        "value not in self._known",
        (f"{MEASURING}reasons_of_others_are_distinguished_up_to_a_bound",),
    ),
    Edit(
        "chassis/http/measured.py",
        "route-as-it-came",
        'return getattr(route, "path", NO_ROUTE)',
        'return str(scope["path"])',
        (f"{MEASURING}requests_are_measured_by_the_template_of_their_route",),
    ),
    Edit(
        "chassis/http/measured.py",
        "stream-measured-to-its-end",
        'if (b"content-type", STREAM) in message["headers"]:',
        'if not message["headers"]:',
        (f"{MEASURING}a_stream_is_measured_until_it_begins",),
    ),
)
