"""What runs, as it says itself: the instances of all services, what is parked, and what is in the log."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import httpx
from pydantic import ValidationError

from chassis.events import type_of
from saga_cli.deploy.checking import INSTANCE, RunningInstance
from saga_cli.deploy.released import ServiceRelease
from saga_cli.log.source import LogPartition, Source
from saga_cli.ops.dead_letters import heads_of, messages_of
from saga_cli.ops.ops_client import LOOK_S, Directory
from saga_cli.progress import ReadProgress, no_progress
from saga_cli.terminal import message_of, plain


def instances(asked: Directory) -> Iterator[RunningInstance]:
    """Of every service, each that there is."""
    with httpx.Client(timeout=LOOK_S) as client:
        for service, urls in asked.urls.items():
            if not urls:
                yield RunningInstance(service, "no address", silent="does not run")
            yield from (_instance(client, service, url) for url in urls)


def _instance(client: httpx.Client, service: str, url: str) -> RunningInstance:
    try:
        answer = client.get(f"{url}/version")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return RunningInstance(service, url)
        found: RunningInstance = INSTANCE.validate_python({**answer.json(), "url": url})
    except (httpx.TransportError, httpx.InvalidURL) as error:
        return RunningInstance(service, url, silent=f"does not answer: {message_of(error)}")
    except (ValueError, TypeError, ValidationError):
        why = f"answers {answer.status_code}, and not what runs"
        return RunningInstance(service, url, silent=why)
    if found.service != service:
        return RunningInstance(service, url, silent=f"is {plain(found.service)}")
    return found


def parked(asked: Directory, service: str) -> tuple[int, Counter[str]]:
    """How many keys have parked messages, and the types of these. Raises ServiceRefusedError."""
    heads = heads_of(asked, service)
    messages = (messages_of(asked, service, head["key"]) for head in heads)
    return len(heads), Counter(message["type"] for each in messages for message in each)


def topics_of(release: ServiceRelease, *, from_start: bool) -> list[str]:
    """What it reads; and, if all is asked for, what it can be rebuilt from."""
    events = [*release.reads.values(), *(release.writes.values() if from_start else ())]
    return sorted({topic for event in events for topic in (event.topic, *event.former)})


async def types_in(
    log: Source,
    topics: Iterable[str],
    done: Mapping[LogPartition, int] | None = None,
    progress: ReadProgress = no_progress,
) -> dict[str, Counter[str]]:
    """How many records of each type a log has by topic; a tombstone is of none.

    `done` is up to where partitions need not be read. What is appended meanwhile is left out.
    """
    found: dict[str, Counter[str]] = {}
    spans = {
        place: span.within((done or {}).get(place, span.start), span.end)
        for place, span in (await log.spans(topics)).items()
    }
    left = {place: span for place, span in spans.items() if span.start < span.end}
    if not left:
        return {}
    progress(0, sum(span.end - span.start for span in left.values()))
    async for batch in log.read(left):
        progress(len(batch), 0)
        counts = found.setdefault(batch[0].topic, Counter())
        counts.update(t for record in batch if (t := type_of(record.headers)))
    return found
