"""Asks broker, archive and stores what `saga retention` has to know, and tells what it says."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import typer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from redis.asyncio import Redis
from rich.table import Table

from chassis.events import dead_letters_of
from chassis.kafka import Cluster, admin_client
from chassis.redis import keys
from guarantees.declared import configured
from guarantees.durations import lasting
from loyalty_svc.store import KEYS
from saga_cli.archive.files import Archive, gaps, span_of
from saga_cli.archive.guard import EVENTS, FOR_EVER, Facts, ParkedRecords, TopicRetention, refusals
from saga_cli.clients import database, in_one_line
from saga_cli.log.kafka import KafkaLog, committed
from saga_cli.log.reader import TOPICS
from saga_cli.log.source import LogPartition, Span
from saga_cli.targets import Targets, found
from saga_cli.terminal import console, print_json, table_of, write_violations
from saga_cli.topology import BY_NAME, SERVICES
from shared_events.catalog import CATALOG

LETTERS: Final = tuple(dead_letters_of(spec.name) for spec in SERVICES)
INBOX: Final = "pruned; what comes again, the states refuse"
PARKED: Final = """
SELECT topic, count(*), min(parked_at) FROM parked GROUP BY topic ORDER BY topic COLLATE "C"
"""


def retention(url: str, *, as_json: bool) -> None:
    """The command ends with 1 if a hole could open."""
    with in_one_line():
        places = found()
        facts = asyncio.run(facts_of(places, Archive.at(url) if url else None))
    why = refusals(facts)
    if as_json:
        kept = {topic: {"ms": r.ms, "bytes": r.bytes} for topic, r in facts.topics.items()}
        print_json({"topics": kept, "inbox": INBOX, "refusals": why})
    else:
        console.print(_table(facts))
        console.print(f"inboxes: {INBOX}")
        write_violations(why, len(why))
        if not why:
            console.print("[green]No hole can open.[/]")
    if why:
        raise typer.Exit(1)


async def facts_of(places: Targets, archive: Archive | None) -> Facts:
    source, now = KafkaLog(places.kafka), datetime.now(UTC)
    topics = await _retentions(places.kafka, (*TOPICS, *LETTERS, *sorted(CATALOG.compacted)))
    spans = await source.spans(topics)
    halfway: dict[LogPartition, int] = {}
    for topic, kept in topics.items():
        if kept.kept is not None and (of := [place for place in spans if place.topic == topic]):
            halfway |= await source.offsets_at(now - kept.kept / 2, of)
    read = {spec.name: await _read(places, spec.name, spans) for spec in SERVICES}
    letters = tuple([each for spec in SERVICES for each in await _letters(places, spec.name)])
    archived = _archived(archive) if archive else None
    return Facts(now, topics, spans, halfway, archived, read, letters)


async def _retentions(cluster: Cluster, topics: tuple[str, ...]) -> dict[str, TopicRetention]:
    async with admin_client(cluster) as admin:
        there = set(await admin.list_topics())
        wanted = [ConfigResource(ConfigResourceType.TOPIC, t) for t in topics if t in there]
        answers = await admin.describe_configs(wanted)
    found: dict[str, TopicRetention] = {}
    for *_, topic, entries in (resource for answer in answers for resource in answer.resources):
        settings = {entry[0]: entry[1] for entry in entries}
        policy = settings["cleanup.policy"].split(",")
        limits = (int(settings["retention.ms"]), int(settings["retention.bytes"]))
        ms, size = limits if "delete" in policy else (FOR_EVER, FOR_EVER)
        found[topic] = TopicRetention(ms, size, "compact" in policy)
    return found


def _archived(archive: Archive) -> dict[LogPartition, Span]:
    """From where on, and up to where, nothing is missing."""
    found = {}
    for place, pieces in archive.pieces(TOPICS).items():
        covered = span_of(pieces)
        ends = (gap.start for gap in gaps(pieces, covered))
        found[place] = Span(covered.start, next(ends, covered.end))
    return found


async def _read(
    places: Targets, name: str, spans: Mapping[LogPartition, Span]
) -> dict[LogPartition, int]:
    """What a service has committed of each topic that it reads; nothing yet is 0."""
    consumed, topics = await committed(places.kafka, name), configured(name).topics
    return {place: consumed.get(place, 0) for place in spans if place.topic in topics}


async def _letters(places: Targets, name: str) -> list[ParkedRecords]:
    if BY_NAME[name].has_database:
        async with database(places.store_of(name)) as connection:
            return [ParkedRecords(name, *row) for row in await connection.fetch(PARKED)]
    parked: dict[str, list[datetime]] = {}
    redis: Any  # it does not know that it answers with bytes
    async with Redis.from_url(places.store_of(name)) as redis:
        for place in await redis.zrange(KEYS.parked_keys, 0, -1):
            for entry in await redis.lrange(place, 0, -1):
                letter = keys.letter_of("", entry)
                parked.setdefault(letter.record.topic, []).append(letter.parked_at)
    return [ParkedRecords(name, topic, len(at), min(at)) for topic, at in sorted(parked.items())]


def _table(facts: Facts) -> Table:
    shown = table_of("topic", "kept", "bytes", "archived")
    for topic, kept in facts.topics.items():
        time = "for ever" if kept.kept is None else lasting(kept.kept.total_seconds())
        size = "any" if kept.bytes < 0 else str(kept.bytes)
        shown.add_row(topic, time, size, _share(facts, topic))
    return shown


def _share(facts: Facts, topic: str) -> str:
    """How many of the offsets that the topic has had are archived."""
    if facts.archived is None or topic not in EVENTS:
        return "-"
    there = [place for place in facts.spans if place.topic == topic]
    done = sum(facts.archived[place].end for place in there if place in facts.archived)
    return f"{done} of {sum(facts.spans[place].end for place in there)}"
