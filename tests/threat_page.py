"""docs/threat-model.md: its table of edges is made from the declarations, its threats are read from it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from guarantees.declared import service_of
from guarantees.services import BY_NAME, SERVICES
from saga_cli.topology import CONSOLE
from shared_events.catalog import CATALOG
from tests.made_parts import between_marks

THREATS: Final = Path(__file__).parents[1] / "docs" / "threat-model.md"
STRIDE: Final = "STRIDE"
OPEN: Final = "Open"
TEST: Final = re.compile(r"`(tests/[\w/]+\.py::test_\w+)`")
LETTER: Final = re.compile(r"[STRIDE](?:, [STRIDE])*")


@dataclass(frozen=True, slots=True)
class Edge:
    """Who reaches whom, over what, and the section that has its threats."""

    source: str
    target: str
    over: str
    section: str


@dataclass(frozen=True, slots=True)
class Threat:
    """A row: the letters of STRIDE, and the tests that cover it."""

    letters: str
    threat: str
    control: str
    tests: tuple[str, ...]


@dataclass(slots=True)
class Section:
    """`none` are the letters of which the page says why there is no threat."""

    title: str
    threats: list[Threat] = field(default_factory=list)
    none: str = ""


def edges() -> Iterator[Edge]:
    """As manifests and declarations say; the tools and what lies beside a service come after them."""
    yield from (Edge("client", spec.name, "HTTP", "Client to a service") for spec in SERVICES)
    yield from (
        Edge("operator", spec.name, "HTTP, `/ops`", "Operator to a service") for spec in SERVICES
    )
    for spec in SERVICES:
        topics = sorted(e.topic for e in CATALOG.entries if e.owner == spec.name)
        own = ", ".join(f"`{topic}`" for topic in dict.fromkeys(topics))
        yield Edge(spec.name, "Kafka", own, "Service to Kafka")
    for (owner, reader), read in sorted(_read().items()):
        yield Edge(owner, reader, ", ".join(f"`{t}`" for t in sorted(read)), "Kafka to a service")
    for spec in SERVICES:
        if spec.has_database:
            yield Edge(spec.name, "PostgreSQL", f"`{spec.database}`", "Service to PostgreSQL")
        if spec.redis_database is not None:
            yield Edge(spec.name, "Redis", f"database {spec.redis_database}", "Service to Redis")
    for spec in SERVICES:
        if spec.provider:
            yield Edge(
                spec.name, spec.provider, "HTTPS", f"{spec.name.title()} to its {spec.provider}"
            )
    yield Edge("bank", "payment", "HTTP, `/webhooks/stripe`", "Payment to its bank")
    yield Edge("`saga`", "Kafka", "the log", "The command line")
    yield Edge("`saga`", "PostgreSQL, Redis", "the stores", "The command line")
    yield Edge("`saga`", "each service", "HTTP, `/ops`", "The command line")
    yield Edge("`saga`", "archive", "files", "The archive")
    yield Edge("a browser", "the console", "HTTP", "The console")
    yield Edge("the console", "Kafka", "the log, to read", "The console")
    yield Edge("the console", "PostgreSQL", f"`{CONSOLE.database}`", "The console")
    yield Edge("the console", "each service", "HTTP, `/ops`", "The console")
    yield Edge("registries", "an image", "packages", "Supply chain")
    yield Edge("each service", "log, metrics, traces", "lines, HTTP", "Logs, metrics and traces")
    yield Edge("the host", "each service", "a container", "Containers and hosts")


def _read() -> dict[tuple[str, str], set[str]]:
    """Topics by their owner and who acts on an event of theirs, or folds it."""
    found: dict[tuple[str, str], set[str]] = {}
    for name in BY_NAME:
        service = service_of(name)
        for entry in CATALOG.entries:
            if entry.event in service.consumes or entry.topic in service.projections:
                found.setdefault((entry.owner, name), set()).add(entry.topic)
    return found


def threat_page() -> str:
    rows = (
        f"| {e.source} | {e.target} | {e.over} | [{e.section}](#{_anchor(e.section)}) |\n"
        for e in edges()
    )
    head = "\n| from | to | over | threats |\n|---|---|---|---|\n"
    return between_marks(THREATS, f"{head}{''.join(rows)}\n")


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def sections(text: str) -> dict[str, Section]:
    """The sections that have threats. Raises ValueError for a row off the form of the others."""
    found: dict[str, Section] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        section = Section(title)
        rows = [line for line in body.splitlines() if line.startswith("|")]
        if rows and rows[0].startswith("| STRIDE |"):
            section.threats = [_threat(row) for row in rows[2:]]
            prose = " ".join(line for line in body.splitlines() if not line.startswith("|"))
            section.none = "".join(re.findall(r"\bNo ([STRIDE]): \w", prose))
            found[title] = section
    return found


def _threat(row: str) -> Threat:
    letters, threat, control, *rest = [cell.strip() for cell in row.strip("|").split(" | ")]
    if not (LETTER.fullmatch(letters) and threat and control and len(rest) <= 1):
        raise ValueError(f"this row has not the form of the others: {row}")
    return Threat(letters, threat, control, tuple(TEST.findall("".join(rest))))
