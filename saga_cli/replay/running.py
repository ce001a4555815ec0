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
    by = f"{done.jobs} processes" if done.jobs > 1 else "1 process"
    console.print(
        f"{done.service}: {done.events:,} events made {done.orders:,} orders and {done.shared:,} rows "
        f"that orders share, in {done.seconds:.1f} s ({rate:,.0f} events/s, {by})"
    )
    if done.effects:
        outstanding = f"{done.effects:,} effects and timers are outstanding"
        console.print(f"  {outstanding}; the service makes them")
    if job.copy:
        console.print(
            "  a copy: the service's positions in its neighbours' topics are as they were"
        )
    elif done.rewound:
        console.print(f"  {done.rewound} partitions of its neighbours will be read from the start")
