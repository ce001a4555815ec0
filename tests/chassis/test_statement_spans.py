"""Statements of a database as spans: only on demand, below what they are for, and without a value."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from asyncpg.connection import LoggedQuery
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.semconv.attributes import db_attributes, server_attributes
from opentelemetry.trace import SpanKind, StatusCode

from chassis import statement_spans, tracing
from chassis.decide import BatchResult, Snapshot
from chassis.handle import Handler
from chassis.message import Message
from chassis.postgres import pools, sql
from chassis.postgres.statement import Clause, run
from shipping_svc.service import SERVICE
from tests.support.records import TRACE, a_message, captured
from tests.support.spans import recorded_spans

OTHER = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
DROPPED = f"{TRACE[:-1]}0"
SECRET = "alice@example.com"
QUOTED = "SELECT detail FROM orders WHERE customer = 'alice@example.com'"
LONG = "order_lines_of_customers" * 20


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    with recorded_spans(ParentBased(ALWAYS_ON), statements=True) as found:
        yield found


def logged(query: str, error: BaseException | None = None) -> LoggedQuery:
    params = SimpleNamespace(database="shipping_db")
    address = ("db.example.com", 5432)
    return LoggedQuery(query, (SECRET,), None, 0.25, error, address, params)


@dataclass
class LoggingUnit:
    """Reads nothing and writes nothing, by one statement each."""

    async def read(self, messages: Sequence[Message]) -> Snapshot:
        del messages
        statement_spans.of_postgres(logged("SELECT 1 FROM inbox WHERE id = $1"))
        return Snapshot()

    async def commit(self, result: BatchResult) -> None:
        del result
        statement_spans.of_postgres(logged("INSERT INTO inbox VALUES ($1)"))


class LoggingUnits:
    @asynccontextmanager
    async def begin(self, *, is_retry: bool = False) -> AsyncIterator[Any]:
        del is_retry
        yield LoggingUnit()


async def statements_of(
    exporter: InMemorySpanExporter, *contexts: str
) -> tuple[list[ReadableSpan], list[ReadableSpan]]:
    """Those of a batch with a message below each context, and the spans of the messages."""
    messages = [replace(a_message(captured()), traceparent=each) for each in contexts]
    await Handler(SERVICE, LoggingUnits()).handle(messages)
    found = exporter.get_finished_spans()
    statements = [span for span in found if (span.attributes or {}).get("db.system.name")]
    return statements, [span for span in found if span.name.startswith("process ")]


def own(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return tracing.text_of(context)


async def test_a_statement_is_below_the_message_that_it_is_for(
    exporter: InMemorySpanExporter,
) -> None:
    (read, write), (process,) = await statements_of(exporter, TRACE)
    assert read.parent is not None
    assert write.parent is not None
    assert tracing.text_of(read.parent) == TRACE
    assert tracing.text_of(write.parent) == own(process)
    assert (read.name, write.name) == ("SELECT inbox", "INSERT inbox")
    assert {read.kind, write.kind} == {SpanKind.CLIENT}
    assert not read.links
    assert not write.links
    assert write.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": "shipping_db",
        "db.operation.name": "INSERT",
        "db.query.summary": "INSERT inbox",
        "server.address": "db.example.com",
        "server.port": 5432,
    }
    assert write.start_time is not None
    assert write.end_time is not None
    assert write.end_time - write.start_time == 250_000_000


async def test_one_of_several_messages_links_to_each_that_is_recorded(
    exporter: InMemorySpanExporter,
) -> None:
    (read, write), processes = await statements_of(exporter, TRACE, OTHER, DROPPED)
    assert (read.parent, write.parent) == (None, None)
    assert [tracing.text_of(link.context) for link in read.links] == [TRACE, OTHER]
    assert [tracing.text_of(link.context) for link in write.links] == [*map(own, processes)]
    assert len(processes) == 2


async def test_what_is_not_recorded_and_what_is_for_no_order_makes_no_span(
    exporter: InMemorySpanExporter,
) -> None:
    assert await statements_of(exporter, DROPPED) == ([], [])
    statement_spans.of_postgres(logged("SELECT 1 FROM outbox"))
    assert exporter.get_finished_spans() == ()


async def test_one_in_a_request_is_below_the_span_of_the_request(
    exporter: InMemorySpanExporter,
) -> None:
    with tracing.tracer().start_as_current_span("GET /orders/{order_id}") as request:
        statement_spans.of_postgres(logged("SELECT detail FROM orders WHERE order_id = $1"))
    (statement, _) = exporter.get_finished_spans()
    assert statement.parent is not None
    assert tracing.text_of(statement.parent) == tracing.text_of(request.get_span_context())


async def test_an_error_is_a_class_and_a_state_and_no_value_is_exported(
    exporter: InMemorySpanExporter,
) -> None:
    error = asyncpg.UniqueViolationError(SECRET)
    with statement_spans.about([TRACE]):
        statement_spans.of_postgres(logged(QUOTED, error))
        with (
            pytest.raises(ConnectionError),
            statement_spans.of_redis("EVAL commit", redis_at(3)),
        ):
            raise ConnectionError(SECRET)
    postgres, redis = exporter.get_finished_spans()
    for span, system, kind in (
        (postgres, "postgresql", "UniqueViolationError"),
        (redis, "redis", "ConnectionError"),
    ):
        assert span.attributes is not None
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["db.system.name"] == system
        assert span.attributes["error.type"] == kind
        assert SECRET not in span.to_json()
    assert postgres.attributes is not None
    assert postgres.attributes["db.response.status_code"] == "23505"
    assert redis.attributes is not None
    assert redis.attributes["db.namespace"] == "3"
    assert redis.attributes["db.operation.name"] == "EVAL"


def redis_at(number: int) -> Any:
    return SimpleNamespace(connection_pool=SimpleNamespace(connection_kwargs={"db": number}))


@pytest.mark.parametrize("on_demand", [True, False])
async def test_statements_are_looked_at_on_demand_alone(*, on_demand: bool) -> None:
    session = Session()
    with recorded_spans(ParentBased(ALWAYS_ON), statements=on_demand) as exporter:
        await pools.settle(session, pools.PLANNED_ONCE)
        with statement_spans.about([TRACE]), statement_spans.of_redis("EVAL", redis_at(0)):
            pass
    assert session.loggers == ([statement_spans.of_postgres] if on_demand else [])
    assert len(exporter.get_finished_spans()) == on_demand


async def test_without_an_exporter_no_statement_is_looked_at() -> None:
    session = Session()
    await pools.settle(session, pools.PLANNED_ONCE)
    assert session.loggers == []


class Session:
    """Of PostgreSQL: its loggers, and the text that it ran last."""

    def __init__(self) -> None:
        self.loggers: list[Any] = []
        self.text = ""

    async def execute(self, _text: str) -> None:
        return None

    async def fetchrow(self, text: str, *_values: object) -> list[int]:
        self.text = text
        return [1, 1, 1]

    def add_query_logger(self, logger: Any) -> None:
        self.loggers.append(logger)


async def test_a_commit_is_named_by_what_it_writes() -> None:
    session, values = Session(), {"ids": [1]}
    orders = "UPDATE orders AS old SET version = 2 FROM unnest({ids}::int[]) AS new RETURNING 1"
    none: Mapping[str, Any] = {"keys": ["a"]}
    await run(
        session,
        [
            Clause("known_orders", orders, values),
            Clause("new_inbox", sql.ENTER, values),
            Clause("parked_keys", sql.PARKED, none),
        ],
    )
    assert statement_spans.summary_of(session.text) == "UPDATE orders INSERT inbox"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (sql.LEASE_EFFECTS, "UPDATE effects"),
        (sql.INBOX_AND_PARKED, "SELECT inbox parked"),
        ("BEGIN;", "BEGIN"),
        ("SELECT now() FROM unnest($1::text[]) AS key", "SELECT"),
        (f"UPDATE {LONG}", f"UPDATE {LONG}"[:255]),
    ],
)
def test_a_summary_has_tables_and_nothing_else(text: str, summary: str) -> None:
    assert statement_spans.summary_of(text) == summary


def test_names_of_attributes_are_those_of_the_conventions() -> None:
    ours = {
        "DB_SYSTEM_NAME": statement_spans.SYSTEM,
        "DB_NAMESPACE": statement_spans.NAMESPACE,
        "DB_OPERATION_NAME": statement_spans.OPERATION,
        "DB_QUERY_SUMMARY": statement_spans.SUMMARY,
        "DB_RESPONSE_STATUS_CODE": statement_spans.STATUS,
    }
    assert {name: getattr(db_attributes, name) for name in ours} == ours
    assert server_attributes.SERVER_ADDRESS == statement_spans.HOST
    assert server_attributes.SERVER_PORT == statement_spans.PORT
