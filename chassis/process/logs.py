"""JSON logs on standard error: one object a line, with the saga's id and the trace's where known."""

import logging
import sys
from typing import Final

import structlog
from opentelemetry import trace

from chassis.process.repeats import LogLine, Repeats
from chassis.tracing import fields_of

RENDER: Final = structlog.processors.JSONRenderer()


def _write(line: LogLine) -> None:
    sys.stderr.write(f"{RENDER(None, '', line)!s}\n")


_repeats: Final = Repeats(_write)


def with_trace(_logger: object, _method: str, line: LogLine) -> LogLine:
    """The span that is open where the line is written, if no other is named."""
    if "trace_id" not in line:
        line.update(fields_of(trace.get_current_span().get_span_context()))
    return line


def configure(service: str, level: str) -> None:
    """Ours and the libraries' log lines have one form, and repeated ones are counted."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _repeats,
            with_trace,
            RENDER,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forwarding()], level=logging.WARNING, force=True)
    structlog.contextvars.bind_contextvars(service=service)


def flush(*, all_: bool = False) -> None:
    """Write how often lines were repeated whose time is over; all of them at the end."""
    _repeats.flush(all_=all_)


class _Forwarding(logging.Handler):
    """Gives what libraries log to ours, with the name of their logger."""

    def emit(self, record: logging.LogRecord) -> None:
        level = max(logging.DEBUG, record.levelno // 10 * 10)
        structlog.get_logger().log(
            min(level, logging.CRITICAL),
            record.getMessage(),
            logger=record.name,
            exc_info=record.exc_info or None,
        )
