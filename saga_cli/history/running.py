"""Runs `saga timeline` and `saga events`."""

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Sequence

from rich.text import Text

from saga_cli.clients import in_one_line
from saga_cli.history import showing
from saga_cli.history.reading import Looked, events_of
from saga_cli.log.opened import opened
from saga_cli.log.reader import LogEvent, position_of, print_unread
from saga_cli.log.source import Limit
from saga_cli.stack import state
from saga_cli.stack.viewer import PAGE, link
from saga_cli.targets import found
from saga_cli.terminal import asked_to_stop, console, fail, plain, print_json, write


def timeline(
    order_id: str, until: Limit, archive: str, *, as_json: bool, mermaid: bool, trace: bool = False
) -> None:
    unread: list[str] = []
    with in_one_line():
        source = opened(found(), archive)
        events = asyncio.run(events_of(source, order_id, unread, until))
    print_unread(unread)
    steps = showing.story(events, order_id)
    if not steps:
        when = " before then" if until else ""
        fail(f"the log knows no order, SKU or customer {plain(order_id)}{when}", 1)
    if as_json:
        print_json(showing.as_json(steps))
    elif mermaid:
        sys.stdout.write("\n".join(showing.mermaid(steps)) + "\n")
    else:
        began, ended = steps[0].envelope.time, steps[-1].envelope.type
        span = f"from {began.isoformat(timespec='milliseconds')}: {ended}"
        write(f"{showing.kind_of(steps)} {plain(order_id)}, {span}")
        console.print(showing.table(steps))
        console.print("ms by the services' clocks; (n): after its own step n, by no event")
        if trace:
            _print_traces(steps)


def _print_traces(steps: Sequence[showing.TimelineStep]) -> None:
    """Each with its steps: a request of its own, such as a cancellation, begins another."""
    stack = state.found()
    page = os.environ.get(PAGE) or (stack.trace_page if stack else "")
    traces = showing.traces_of(steps)
    for trace_id, numbers in traces.items():
        write(f"trace of {numbers}: {plain(link(page, trace_id))}")
    if not traces:
        write("no trace: its events have no traceparent")


def events(looked: Looked, archive: str, *, follow: bool, as_json: bool) -> None:
    with in_one_line():
        asyncio.run(_events(looked, archive, follow=follow, as_json=as_json))
    print_unread(looked.unread)


async def _events(looked: Looked, archive: str, *, follow: bool, as_json: bool) -> None:
    places = found()
    there, reached = await looked.newest(opened(places, archive))
    stopping = asked_to_stop() if follow else None  # who sees a line may end it
    _print(there, as_json=as_json)
    if stopping is not None:
        async for batch in looked.coming(places.kafka, reached, stopping):
            _print(batch, as_json=as_json)


def _print(entries: Iterable[LogEvent], *, as_json: bool) -> None:
    for entry in entries:
        if as_json:
            print(json.dumps(showing.event_json(entry)), flush=True)
            continue
        envelope = entry.envelope
        at, place = showing.appended(entry), position_of(entry)
        line = f"{at}  {place:24} {envelope.type:32} {plain(envelope.subject)}"
        console.print(Text(f"{line}  {plain(showing.what_of(envelope.event))}"), soft_wrap=True)
