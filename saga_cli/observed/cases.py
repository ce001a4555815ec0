"""The log as cases: all events of one subject, each with what led to it."""

import lzma
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic_core import from_json

from guarantees.causes import CAUSES
from guarantees.judge import by_order
from saga_cli.history.showing import TimelineStep, story
from saga_cli.log.reader import TOPICS, LogEvent, by_number, logged, read_spans
from saga_cli.log.source import LogRecord, Source, UnreadableError
from saga_cli.progress import ReadProgress, no_progress
from shared_events.catalog import CATALOG

OR = " or "
UNKNOWN = "unknown"
"""The cause of an event that does not name it, and whose service declares none."""


@dataclass(frozen=True, slots=True)
class Case:
    """The steps of an order, a SKU or a customer, causes before what they led to."""

    subject: str
    steps: list[TimelineStep]

    @property
    def is_order(self) -> bool:
        return CATALOG.by_type[self.steps[0].envelope.type].is_of_a_saga

    @property
    def began(self) -> datetime:
        return min(step.envelope.time for step in self.steps)

    def causes(self) -> Iterator[tuple[TimelineStep, str]]:
        """Each step with the type or name of what led to it.

        Releases before 0.3 did not write the name of a command, a timer or an outcome: it is then each of
        those that the service declares, with `or` between them.
        """
        by_number = {step.number: step for step in self.steps}
        for step in self.steps:
            if step.direct:
                yield step, newest(by_number[step.cause].envelope.type)
            else:
                yield step, newest(step.envelope.causation_type) or _unnamed(step)


def newest(wire_type: str) -> str:
    """The version in which an event is published now; what is no event's type stays as it is."""
    entry = CATALOG.by_type.get(wire_type)
    return entry.wire_type if entry else wire_type


def _unnamed(step: TimelineStep) -> str:
    declared = CAUSES.get(step.service, {}).items()
    names = [
        name for name, types in declared if newest(step.envelope.type) in types and "." not in name
    ]
    return OR.join(sorted(names)) or UNKNOWN


@dataclass(frozen=True, slots=True)
class Period:
    """Cases that began at or after `since` and before `until`; either may be open."""

    since: datetime | None = None
    until: datetime | None = None

    def has(self, case: Case) -> bool:
        after = self.since is None or case.began >= self.since
        return after and (self.until is None or case.began < self.until)


def cases_of(events: Iterable[LogEvent]) -> list[Case]:
    """In the order of their subjects."""
    found = by_order(events)
    return [Case(subject, story(found[subject], subject)) for subject in sorted(found)]


async def read_cases(
    source: Source, unread: list[str], progress: ReadProgress = no_progress
) -> AsyncIterator[list[Case]]:
    """The cases of a log, one part of its partitions after the other, so that few are in memory."""
    parts = by_number(await source.spans(TOPICS))
    progress(0, sum(span.end - span.start for part in parts for span in part.values()))
    for part in parts:
        events: list[LogEvent] = []
        async for batch in read_spans(source, part, progress):
            events += [event for kept in batch if (event := logged(kept, unread))]
        yield cases_of(events)


def file_cases(path: Path, unread: list[str]) -> Iterator[list[Case]]:
    """The cases of a log in a file. Raises as `file_records` does."""
    yield cases_of(event for each in file_records(path) if (event := logged(each, unread)))


def file_records(path: Path) -> Iterator[LogRecord]:
    """A record a line, as JSON, which may be packed by xz; lines without a topic are no records.

    Raises UnreadableError.
    """
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as lines:
            yield from (_record(line) for line in map(from_json, lines) if "topic" in line)
    except (lzma.LZMAError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableError(f"{path} is no log: a record a line, as JSON") from error
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from error


def _record(line: dict[str, object]) -> LogRecord:
    headers = tuple((name, str(value).encode()) for name, value in dict(line["headers"]).items())  # type: ignore[call-overload]
    place = (str(line["topic"]), int(str(line["partition"])), int(str(line["offset"])))
    return LogRecord(*place, str(line["key"]).encode(), str(line["value"]).encode(), headers, 0)
