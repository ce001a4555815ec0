"""Bugs in traces: a sampler that is not asked, a parent where a link belongs, a context that is lost."""

from typing import Final

from simulation.edits.edit import Edit

SPANS: Final = "tests/chassis/test_spans.py::test_"
STATEMENTS: Final = "tests/chassis/test_statement_spans.py::test_"
TRACING: Final = "tests/chassis/test_tracing.py::test_"

TRACE_EDITS: Final = (
    Edit(
        "chassis/tracing.py",
        "trace-invented",
        """    if not context.is_valid:
        return ""
    traceparent""",
        """    if not context.is_valid:
        return f"00-{1:032x}-{1:016x}-01"
    traceparent""",
        (f"{TRACING}without_an_exporter_nothing_is_invented_and_what_came_in_is_passed_on",),
    ),
    Edit(
        "chassis/tracing.py",
        "sampler-ignored",
        "{context.span_id:016x}-{context.trace_flags:02x}",
        "{context.span_id:016x}-01",
        (
            f"{TRACING}at_a_ratio_of_zero_no_span_is_made_here_or_by_whoever_follows",
            f"{SPANS}what_the_sampler_drops_is_dropped_at_every_hop",
        ),
    ),
    Edit(
        "chassis/span_export.py",
        "batches-at-random",
        "if not links or",
        "if links or",
        (f"{SPANS}a_batch_is_recorded_where_one_of_its_messages_is",),
    ),
    Edit(
        "chassis/tracing.py",
        "tracestate-dropped",
        'return f"{traceparent} {tracestate}" if traceparent and tracestate else traceparent',
        "return traceparent",
        (
            f"{SPANS}a_message_is_a_span_below_its_event_and_above_those_that_it_leads_to",
            f"{TRACING}a_request_without_a_context_is_the_root_of_a_trace_and_keeps_its_tracestate",
        ),
    ),
    Edit(
        "chassis/redrive.py",
        "redriven-below-its-event",
        "traceparent=tracing.here(came_with),",
        "traceparent=came_with,",
        (f"{SPANS}a_redriven_message_is_below_the_operators_request_and_links_to_its_event",),
    ),
    Edit(
        "chassis/spans.py",
        "no-link-to-the-event",
        "links=[Link(created)] if created.is_valid else [],",
        "links=(),",
        (f"{SPANS}a_message_is_a_span_below_its_event_and_above_those_that_it_leads_to",),
    ),
    Edit(
        "chassis/handle.py",
        "spans-before-commit",
        """            with statement_spans.about(result.contexts):
                await unit.commit(result)""",
        """            spans.end(result.spans)
            with statement_spans.about(result.contexts):
                await unit.commit(result)""",
        (f"{SPANS}what_was_decided_and_not_written_is_no_part_of_a_trace",),
    ),
    Edit(
        "chassis/tracing.py",
        "sampler-asked-twice",
        "ids.chosen = id_",
        "pass",
        (f"{TRACING}a_trace_that_the_sampler_takes_has_the_id_that_it_was_asked_about",),
    ),
    Edit(
        "chassis/tracing.py",
        "statements-always",
        'getattr(_sampler(), "records_statements", False)',
        'hasattr(_sampler(), "records_statements")',
        (f"{STATEMENTS}statements_are_looked_at_on_demand_alone",),
    ),
    Edit(
        "chassis/statement_spans.py",
        "batch-below-its-first-message",
        "is_of_one = len(contexts) == 1",
        "is_of_one = True",
        (f"{STATEMENTS}one_of_several_messages_links_to_each_that_is_recorded",),
    ),
    Edit(
        "chassis/statement_spans.py",
        "errors-quoted",
        "    spans.fail(span, spans.error_type_of(error))",
        "    spans.fail(span, str(error))",
        (f"{STATEMENTS}an_error_is_a_class_and_a_state_and_no_value_is_exported",),
    ),
)
