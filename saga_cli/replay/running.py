"""Runs `saga replay` and tells what was done."""

import asyncio
import json
import logging
import sys
import time
from dataclasses import asdict

import structlog
from sqlalchemy.exc import SQLAlchemyError

from chassis.errors import TransientError
from guarantees.counts import counted
from saga_cli.clients import in_one_line
from saga_cli.progress import shown
from saga_cli.replay import database
from saga_cli.replay.job import Job, Rebuilt, ReplayError
from saga_cli.terminal import console
from saga_cli.topology import BY_NAME


def run(job: Job, *, as_json: bool) -> None:
    """The command ends with 2 if it is refused or can't go on."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    failures = (ReplayError, TransientError, SQLAlchemyError)
    with in_one_line(*failures), shown() as progress_of:
        progress, started = progress_of(job.service), time.monotonic()
        if BY_NAME[job.service].has_database:
            rebuilt = database.rebuild(job, progress)
        else:
            from saga_cli.replay import redis  # noqa: PLC0415 - it needs the service

            rebuilt = asyncio.run(redis.rebuild(job, progress))
    rebuilt.seconds = time.monotonic() - started
    if as_json:
        sys.stdout.write(json.dumps(asdict(rebuilt)) + "\n")
    else:
        _print(job, rebuilt)


def _print(job: Job, done: Rebuilt) -> None:
    rate = done.events / max(done.seconds, 0.001)
    by = counted(done.jobs, "process", "processes")
    events = counted(done.events, "event", form=",")
    rows = f"{counted(done.orders, 'order', form=',')} and {counted(done.shared, 'row', form=',')}"
    console.print(
        f"{done.service}: {events} made {rows}"
        f" that orders share, in {done.seconds:.1f} s ({rate:,.0f} events/s, {by})"
    )
    if done.effects:
        outstanding = counted(
            done.effects, "effect or timer is", "effects and timers are", form=","
        )
        console.print(f"  {outstanding} outstanding; the service makes them")
    if job.copy:
        console.print(
            "  a copy: the service's positions in its neighbours' topics are as they were"
        )
    elif done.rewound:
        rewound = counted(done.rewound, "partition")
        console.print(f"  {rewound} of its neighbours will be read from the start")
