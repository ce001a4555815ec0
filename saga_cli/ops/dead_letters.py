"""saga dead-letters list | show | redrive | discard | skip | actions"""

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from saga_cli.ops.ops_client import Directory, ServiceRefusedError
from saga_cli.ops.options import (
    AsJson,
    OneService,
    ServiceArgument,
    Why,
    Yes,
    confirmed,
    known,
    list_rows,
)
from saga_cli.terminal import (
    OneLine,
    age,
    check_terminal,
    console,
    fail,
    plain,
    print_json,
    table_of,
    write,
)

PAGE: Final = 200
COLUMN: Final = 16
KEY_SHOWN: Final = 72
UUID_SHOWN: Final = 36
NOT_FOUND: Final = 404
app = typer.Typer(
    cls=OneLine, help="Messages that a service could not decide on.", no_args_is_help=True
)


Key = Annotated[str, typer.Argument(help="An order's id, or what else the messages are about.")]


@app.command("list")
def list_(service: OneService = None, *, as_json: AsJson = False) -> None:
    """Show the first dead letter of each key, and how many messages wait for it."""
    list_rows(service, heads_of, table=_table, none="No dead letters.", as_json=as_json)


@app.command()
def show(service: ServiceArgument, key: Key, *, as_json: AsJson = False) -> None:
    """Print a key's parked messages: headers, value, and what was wrong."""
    letters = _letters(Directory.found(service), service, key)
    if as_json:
        print_json(letters)
        return
    for number, letter in enumerate(letters, 1):
        write("\n".join(_shown(letter, f"{number}/{len(letters)}")))


@app.command()
def redrive(
    service: ServiceArgument,
    key: Annotated[str | None, typer.Argument(help="Not with --all.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every parked key, one by one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide, and write nothing.")] = False,
    note: Why = "",
) -> None:
    """Decide again on a key's parked messages, in order, up to the first that fails."""
    if (key is None) is not every:
        fail("give a KEY, or --all")
    asked = Directory.found(service)
    more = {"note": note, "dry_run": dry_run}
    keys = [key] if key is not None else [head["key"] for head in heads_of(asked, service)]
    if every and not keys:
        console.print("No dead letters.")
    well = [
        _redriven(asked, service, each, f"[{n}/{len(keys)}] " if every else "", more)
        for n, each in enumerate(keys, 1)
    ]
    if dry_run and keys:
        write("Nothing was written; what would refuse the write itself is not shown.")
    if not all(well):
        raise typer.Exit(1)


@app.command()
def discard(
    service: ServiceArgument,
    key: Key,
    reason: Why,
    *,
    id_: Annotated[str, typer.Option("--id", help="Which; else the first.")] = "",
    yes: Yes = False,
) -> None:
    """Remove one parked message for good; the audit trail keeps the original."""
    if not yes:
        check_terminal()
    asked = Directory.found(service)
    letters = [x for x in _letters(asked, service, key) if id_ in {"", x["id"]}]
    if not letters:
        fail(f"{service} parked no message {id_} of {_label(key)}", 1)
    chosen = letters[0]
    what = f"message {chosen['id']} ({plain(chosen['type']) or 'no type'}) of {_label(key)}"
    confirmed(f"Discard {what} at {service}? It is never decided on.", yes=yes)
    body = {"key": key, "reason": reason, "id": chosen["id"]}
    asked.post(service, "/ops/dead-letters/discard", **body)
    write(f"Discarded {what}.")
    if left := len(messages_of(asked, service, key)):
        redrive_ = f"saga dead-letters redrive {service} {plain(key)}"
        write(f"{left} more wait{'s' if left == 1 else ''}: `{redrive_}`.")


@app.command()
def skip(
    topic: Annotated[str, typer.Argument(help="Such as order.forward.")],
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[int, typer.Argument(min=0)],
    note: Why,
    *,
    service: Annotated[str, typer.Option(help="Not all that read the topic.")] = "",
) -> None:
    """Have services step over one record: it is parked there and not decided on.

    The last resort for a record that a service neither handles nor parks by itself.
    """
    from guarantees.declared import readers_of  # noqa: PLC0415 - with all services it is slow

    body = {"topic": topic, "partition": partition, "offset": offset, "note": note}
    known(service or None)
    names = [service] if service else sorted(readers_of(topic))
    if not names:
        fail(f"no service reads {plain(topic)}")
    asked = Directory.found(*names)
    for name in names:
        asked.post(name, "/ops/dead-letters/skip", **body)
        write(f"{name} steps over {topic}:{partition}:{offset} and parks it.")


@app.command()
def actions(service: ServiceArgument, key: Key, *, as_json: AsJson = False) -> None:
    """Print the audit trail: what operators did to a key."""
    found = Directory.found(service).get(service, "/ops/actions", key=key)
    if as_json:
        print_json(found)
        return
    if not found:
        console.print(f"Nobody did anything to it at {service}.")
    for action in found:
        line = f"{action['at'][:19]}  {action['by']}  {action['action']}  {action['note']}"
        write(plain(line))
        if action["detail"]:
            write(f"  {plain(action['detail'])}")


def heads_of(asked: Directory, service: str) -> list[dict[str, Any]]:
    """The first dead letter of each key, all pages of them. Raises ServiceRefusedError."""
    found: list[dict[str, Any]] = []
    while True:
        query = {"offset": len(found), "limit": PAGE}
        page = asked.get(service, "/ops/dead-letters", **query)["heads"]
        found += page
        if len(page) < PAGE:
            return found


def messages_of(asked: Directory, service: str, key: str) -> list[dict[str, Any]]:
    """All that is parked of a key. Raises ServiceRefusedError."""
    found: list[dict[str, Any]] = asked.get(service, "/ops/dead-letters/messages", key=key)
    return found


def _letters(asked: Directory, service: str, key: str) -> list[dict[str, Any]]:
    found = messages_of(asked, service, key)
    if not found:
        fail(f"{service} parked nothing of {_label(key)}", 1)
    return found


def _redriven(asked: Directory, service: str, key: str, place: str, more: dict[str, Any]) -> bool:
    """Redrive one key and print how it went; whether nothing of it is parked any more."""
    try:
        results = asked.post(service, "/ops/dead-letters/redrive", key=key, **more)
    except ServiceRefusedError as error:
        if not place:
            raise
        write(f"{place}{_label(key)}: {plain(str(error))}")
        return error.status == NOT_FOUND  # somebody else was faster
    for result in results:
        outcome = _outcome(result, dry_run=more["dry_run"])
        write(f"{place}{_label(key)} message {result['id']} {outcome}")
    return all(result["outcome"] != "parked" for result in results)


def _outcome(result: dict[str, Any], *, dry_run: bool) -> str:
    if result["outcome"] == "parked":
        return f"{'would stay' if dry_run else 'stays'} parked: {plain(result['reason'])}"
    published = ", ".join(result["published"]) or "nothing"
    return f"would publish {published}" if dry_run else f"is decided and publishes {published}"


def _label(key: str) -> str:
    """A key for the eye; records may come without one."""
    return plain(key if len(key) <= KEY_SHOWN else f"{key[:KEY_SHOWN]}...") or "(no key)"


def _table(heads: Sequence[dict[str, Any]]) -> Table:
    shown = table_of("service", "key", "event", "first error", "tries", "age", "waiting")
    shown.columns[1].min_width = UUID_SHOWN
    for head in heads:
        what = (head["type"] or "-", head["first_error"], str(head["attempts"]))
        row = (head["service"], _label(head["key"]), *map(plain, what))
        shown.add_row(*map(Text, (*row, age(head["parked_at"]), str(head["behind"]))))
    return shown


def _shown(letter: dict[str, Any], place: str) -> Iterator[str]:
    yield f"{place}  message {letter['id']}  {plain(letter['type']) or 'no type'}"
    yield f"  from       {letter['topic']}, partition {letter['partition']}, offset {letter['offset']}"
    parked, tried = age(letter["parked_at"]), age(letter["last_tried_at"])
    yield f"  parked     {parked} ago; tries: {letter['attempts']}, the last {tried} ago"
    yield f"  first error  {plain(letter['first_error'])}"
    if letter["last_error"] != letter["first_error"]:
        yield f"  last error   {plain(letter['last_error'])}"
    yield f"  key        {_text(_bytes(letter['record_key']))}"
    for name, raw in letter["headers"]:
        yield f"  {plain(name):<{COLUMN}} {_text(_bytes(raw))}"
    yield from (f"  {line}" for line in shown_value(_bytes(letter["value"])))


def _bytes(encoded: str | None) -> bytes | None:
    return None if encoded is None else base64.b64decode(encoded)


def _text(raw: bytes | None) -> str:
    return "null" if raw is None else plain(raw.decode("utf-8", "backslashreplace"))


def shown_value(raw: bytes | None) -> list[str]:
    """JSON made readable; anything else as bytes."""
    if raw is None:
        return ["null"]
    try:
        text = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return list(_dumped(raw))
    return [plain(line) for line in text.splitlines()]


def _dumped(raw: bytes) -> Iterator[str]:
    if not raw:
        yield "no bytes"
    for start in range(0, len(raw), COLUMN):
        part = raw[start : start + COLUMN]
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in part)  # noqa: PLR2004 - ASCII
        yield f"{start:08x}  {part.hex(' '):<{3 * COLUMN - 1}}  {text}"
