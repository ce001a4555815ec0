"""Runs `saga archive` and prints how it went."""

import asyncio
import sys

import typer

from chassis import clock
from saga_cli.archive.checking import check
from saga_cli.archive.copying import TOPICS, Copier
from saga_cli.archive.files import Archive
from saga_cli.clients import UNAVAILABLE, in_one_line
from saga_cli.log.kafka import KafkaLog
from saga_cli.progress import shown
from saga_cli.targets import found
from saga_cli.terminal import asked_to_stop, console, fail, message_of, write


def copy(target: str, topics: list[str] | None, every_s: float | None) -> None:
    """Once, or until SIGTERM; the command ends with 1 if something is missing for good."""
    with in_one_line():
        source, archive = KafkaLog(found().kafka_bootstrap), Archive.at(target)
        with archive.locked(), shown() as progress_of:
            copier = Copier(source, archive, topics or TOPICS, progress_of("archive"))
            asyncio.run(copy_on(copier, every_s))
    for place, span in copier.holes.items():
        sys.stderr.write(
            f"saga: {place.topic}/{place.partition}: {span.start}-{span.end - 1} were deleted "
            "before they were archived\n"
        )
    if copier.holes:
        raise typer.Exit(1)
    if every_s is None and copier.stopping.is_set():
        fail("stopped before the end", 1)


async def copy_on(copier: Copier, every_s: float | None) -> None:
    copier.stopping = asked_to_stop()
    if every_s is None:
        await copier.to_end()
        _print(copier)
        return
    while not copier.stopping.is_set():
        before = copier.written
        try:
            await copier.to_end()
        except UNAVAILABLE as error:  # it may be back by the next time
            sys.stderr.write(f"saga: {message_of(error)}\n")
        if copier.written > before:
            _print(copier)
        await clock.wait_for(copier.stopping, every_s)


def _print(copier: Copier) -> None:
    console.print(f"{copier.records} records in {copier.written} files to {copier.archive.url}")


def check_all(target: str, topics: list[str] | None, *, offline: bool) -> None:
    with in_one_line(), shown() as progress_of:
        live = None if offline else KafkaLog(found().kafka_bootstrap)
        progress = progress_of("archive")
        checked = asyncio.run(check(Archive.at(target), live, topics or TOPICS, progress))
    if not checked.files:
        fail(f"there is no archive at {target!r}")
    console.print(
        f"{checked.records} records in {checked.files} files; "
        f"{checked.compared} of them compared with Kafka"
    )
    for line in checked.wrong:
        write(line, "red")
    if checked.wrong:
        raise typer.Exit(1)
