"""Spans of database statements, on demand (`X_TRACE_STATEMENTS`), by the conventions for databases.

A statement is a CLIENT span below what it was made for: the message that is decided on, or the request that
is open. One for several messages has links to what each is traced below, and no parent. What is for no order,
such as a look for what is due, makes no span. Neither its text nor a value is exported, only which tables it
is about; an error by its class and its SQLSTATE.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.util.types import AttributeValue

from chassis import clock, spans, tracing

SYSTEM: Final = "db.system.name"
NAMESPACE: Final = "db.namespace"
OPERATION: Final = "db.operation.name"
SUMMARY: Final = "db.query.summary"
STATUS: Final = "db.response.status_code"
HOST: Final = "server.address"
PORT: Final = "server.port"
SUMMARY_MAX: Final = 255
"""Characters, as the conventions ask for."""
WRITES: Final = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM) ([a-z_][a-z_0-9]*)\b")
READS: Final = re.compile(r"\b(?:FROM|JOIN) ([a-z_][a-z_0-9]*)\b(?! *\()")
OWN_NAMES: Final = re.compile(r"([a-z_][a-z_0-9]*) AS (?:MATERIALIZED )?\(")
"""Of a statement's parts, which are no tables."""
_contexts: ContextVar[tuple[str, ...]] = ContextVar("contexts", default=())


def about(contexts: Iterable[str]) -> AbstractContextManager[None]:
    """Statements in it are below the context, or link to each of several."""
    return _about(tuple(contexts)) if tracing.records_statements() else nullcontext()


@contextmanager
def _about(contexts: tuple[str, ...]) -> Iterator[None]:
    token = _contexts.set(contexts)
    try:
        yield
    finally:
        _contexts.reset(token)


def of_postgres(logged: Any) -> None:
    """What asyncpg tells of a statement that has ended, in the context of the task that made it."""
    summary = summary_of(logged.query)
    address = logged.conn_addr
    host, port = address if isinstance(address, tuple) else (address, None)
    more: dict[str, AttributeValue] = {NAMESPACE: logged.conn_params.database, HOST: host}
    if port is not None:
        more[PORT] = port
    ended_ns = int(clock.now().timestamp() * 1e9)
    started_ns = ended_ns - int(logged.elapsed * 1e9)
    if span := _started("postgresql", summary, more, started_ns):
        if logged.exception is not None:
            _fail(span, logged.exception)
        span.end(ended_ns)


def of_redis(summary: str, redis: Any) -> AbstractContextManager[None]:
    """Of a command, such as `EVAL commit`, to the client's database."""
    if not tracing.records_statements():
        return nullcontext()
    number = redis.connection_pool.connection_kwargs.get("db", 0)
    span = _started("redis", summary, {NAMESPACE: str(number)})
    return _ended(span) if span else nullcontext()


@contextmanager
def _ended(span: Span) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        _fail(span, error)
        raise
    finally:
        span.end()


@lru_cache(maxsize=1000)
def summary_of(query: str) -> str:
    """`INSERT orders INSERT outbox`: what it writes, each once, else what it reads.

    Its first word where no table is in it.
    """
    own_names = set(OWN_NAMES.findall(query))
    writes = [f"{verb.partition(' ')[0]} {table}" for verb, table in WRITES.findall(query)]
    if not writes:
        tables = [table for table in READS.findall(query) if table not in own_names]
        writes = ["SELECT", *tables] if tables else [query.split(maxsplit=1)[0].rstrip(";")]
    return " ".join(dict.fromkeys(writes))[:SUMMARY_MAX]


def _started(
    system: str, summary: str, more: Mapping[str, AttributeValue], started_ns: int | None = None
) -> Span | None:
    """None where it is for no order, or for none that is recorded."""
    contexts = _contexts.get() or (tracing.here(""),)
    recorded = [context for context in contexts if context and not tracing.is_dropped(context)]
    if not recorded:
        return None
    is_of_one = len(contexts) == 1
    operation = summary.partition(" ")[0]
    return tracing.tracer().start_span(
        summary,
        tracing.below(recorded[0] if is_of_one else ""),
        kind=SpanKind.CLIENT,
        attributes={SYSTEM: system, OPERATION: operation, SUMMARY: summary, **more},
        links=[] if is_of_one else _links(recorded),
        start_time=started_ns,
    )


def _links(contexts: Iterable[str]) -> list[Link]:
    found = dict.fromkeys(contexts)
    return [Link(tracing.parsed(context)) for context in found][: spans.LINKS_MAX]


def _fail(span: Span, error: BaseException) -> None:
    if state := getattr(error, "sqlstate", None):
        span.set_attribute(STATUS, state)
    spans.fail(span, spans.error_type_of(error))
