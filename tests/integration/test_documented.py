"""Every command and request that the documentation shows, run on one stack; and the stack itself."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import typer

from saga_cli.main import app
from saga_cli.stack import state
from saga_cli.topology import addresses_of
from simulation.plan import Plan
from tests.support.documented import ROOT, Documented, commands
from tests.support.private import arguments_of, open_to_others
from tests.support.saga import Ended, saga
from tests.support.stack import CHECKOUT, RunningStack, followed, requested, run
from tests.support.waiting import until

pytestmark = pytest.mark.long(100)

TOO_LONG: Final = {
    "saga erase": "it takes an order, or a customer",
    "saga demo": "a stack of its own; `tests/integration` does what it shows",
    "saga chaos": "minutes; tests/chaos/test_short.py",
    "saga bench": "minutes; tests/integration/test_bench.py",
    "saga bench failover": "minutes; tests/cli/test_pauses.py",
    "saga bench false-alarms": "minutes; it counts lines of logs",
    "saga bench fast-paths": "minutes; tests/integration/test_bench.py",
    "saga mutants": "minutes; tests/simulation",
    "saga mutants --real": "minutes; tests/integration/test_real_mutants.py",
    "saga bench secured": "minutes; tests/cli/test_bench.py",
    "saga bench traced": "minutes; tests/cli/test_bench.py",
    "saga demo --plain": "a stack of its own, as for `saga demo`",
    "saga up": "this stack is one",
    "saga top": "it goes on until it is ended; tests/console/test_top.py",
    "saga up --without-console": "as this stack, without one process",
    "saga up --secure": "tests/integration/test_secured.py",
    "saga up --with-tracing": "no viewer; tests/cli/test_viewer.py",
    "saga up --otlp-endpoint URL": "tests/integration/test_traces.py, tests/cli/test_viewer.py",
    "saga down": "the last test",
    "saga archive s3://bucket/log --follow": "no object store; tests/integration/test_archive.py",
}
"""What is only asked for its help."""
SHORT: Final = {
    "saga simulate": ["--orders", "5", "--per-run", "5", "--jobs", "1"],
    "saga republish": ["--dry-run"],
}
"""Options that make a run short; they win over the same ones before."""
LAST: Final = (
    *("saga replay payment --in-place", "saga erase"),
    *("saga failures", "saga dead-letters", "saga restart"),
)
SHAPES: Final = {
    "why": r"Order \S+ is [A-Z]+\n  order \w+  inventory \w+ ",
    "timeline": r"Order \S+, from .*\n(.*\n)*.* order\.placed\.v1 ",
    "events": r'(.* \w+\.\w+/\d+/\d+ +\w+\.\w+\.v1 )|(\{"id": )|(^$)',
    "orders": r"(id,state,step,)|((.*\n)*.* order .* state .* must act )",
    "top": r"[\d,+]+ in flight",
    "status": r"(.*\n)*.* order-1 .* http://127.0.0.1:\d+ .* yes .*\n",
    "logs": r'\{.*"event": "\w+"',
    "stop": r"[\w-]+ stopped\n",
    "start": r"[\w-]+ ready\n",
    "restart": r"[\w-]+ ready\n",
    "reconcile": r"\d+ orders \(.*\), \d+ events in the log\nAll books agree",
    "verify": r"(.*\n)*.*differences.*\n(.*\n)*All equal\.",
    "replay": r"(.*\n)*.*\d+ events",
    "republish": r"(.*\n)*.* missing .*\n",
    "acl": r"kafka-acls --bootstrap-server |apiVersion: kafka\.strimzi\.io/v1\n|\[\n \{\n",
    "topics": r"(.*\n)*.* order\.forward ",
    "topics apply": r"(.*\n)*note: .* no authorizer: .*\n(Nothing has to be changed|\d+ changes made)\.",
    "console rebuild": r"Emptied: the console reads the log from its start\.\n",
    "erase": r"(.*\n)*.* is erased.*: none left\.\n",
    "erasures": r"(.*\n)*.* signature ",
    "archive": r"\d+ ",
    "report": r"(.*\n)*.*placed",
    "retention": r"(.*\n)*.* order\.forward ",
    "simulate": r"(.*\n)*no violation",
    "flow": r"(.*\n)*\d+ events on \d+ declared edges, 0 undeclared; \d+ declared were never seen",
    "variants": r"(.*\n)*orders: \d+, variants: \d+, rare ones ",
    "export": r"\{|<\?xml |case,activity,",
    "deploy-check": r"(note .*\n)*payment \S+ -> \S+: may go out\.\n",
    "lint": r"5 services, \d+ events, \d+ rules: 0 findings\.",
    "k8s render": r"---\napiVersion: |\d+ resources in ",
    "k8s chaos": r"---\napiVersion: |\d+ resources in ",
    "audit": r'(\{"timestamp": )|(^$)',
    "schema check": r"(.*\n)*\d+ types of .* now: 0 breaking, \d+ fine\.",
    "schema show": r'(\{\n  "\$schema": )|(.*\n.* type .* owner )',
    "schema export": r"\d+ types in ",
    "outbox redrive": r"Row \d+ \(payment\.dead-letters of \S+\) is tried again\.\n",
    "outbox discard": r"Row \d+ \(payment\.dead-letters of \S+\) is discarded\.\n",
    "failures list": r"(Nothing is parked, )|(.*\n.* group .* service .* what )",
    "failures repair": r"redrive \d+ orders? of ",
    "dead-letters list": r".*\n.* service .* key .* event ",
    "dead-letters show": r"1/1  message \S+  ",
    "dead-letters redrive": r".* message \S+ (stays|would stay) parked: ",
    "dead-letters discard": r"Discarded message \S+ ",
    "dead-letters skip": r"\w+ steps over \S+ and parks it\.\n",
    "dead-letters actions": r"\d{4}-\d\d-\d\dT\S+  \S+  discard",
}
"""How the output begins; that of a command which is not here is only not empty."""
SAYS_NO: Final = {
    "saga resolve": "no outstanding effect of ",
    "saga expedite": "no call to a provider is outstanding for ",
    'saga dead-letters show order ""': "order parked nothing of (no key)",
    "saga dead-letters redrive": "",
    "saga failures repair": "",
}
"""What ends with 1 here: there is nothing to do, or it is parked again."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("stack")
    up = run(folder, "up", "--detach")
    assert up.returncode == 0, up.stderr
    try:
        found = RunningStack(folder, up.stdout)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)  # where its token is to be had
            answer = requested(found, re.sub(r"\\\n", " ", up.stdout.partition("Try it:\n")[2]))
        assert answer.status_code == 201, answer.text
        found.order_id = answer.json()["order_id"]
        yield found
    finally:
        run(folder, "down")


@pytest.fixture(autouse=True)
def _in_the_folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "shop" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("shop").folder)


ALL: Final = commands()


def of(program: str) -> list[Documented]:
    return [each for each in ALL.values() if each.words[0] == program]


def in_order(each: Documented) -> int:
    return next((n for n, text in enumerate(LAST, 1) if each.text.startswith(text)), 0)


@pytest.mark.parametrize("documented", of("curl"), ids=lambda each: each.text[-60:])
def test_a_documented_request_is_answered(shop: RunningStack, documented: Documented) -> None:
    answer = requested(shop, documented.text)
    assert answer.is_success, (documented, answer.text)
    if "/checkout" in documented.text:
        assert answer.json()["state"] in {"CONFIRMED", "PENDING"}


SAGA: Final = sorted(of("saga"), key=in_order)


@pytest.mark.parametrize("documented", SAGA, ids=[each.text for each in SAGA])
def test_a_documented_command_does_what_its_page_says(
    shop: RunningStack, documented: Documented
) -> None:
    words = filled_in(shop, documented)
    with_effect = tuple(words) not in shop.done
    ended = shop.done.setdefault(tuple(words), carried_out(shop, words)) if with_effect else None
    ended = ended or shop.done[tuple(words)]
    if words[:2] == ["dead-letters", "redrive"] and "--dry-run" in words:
        assert "Nothing was written; what would refuse the write itself is not shown." in ended.out
    no = next((error for text, error in SAYS_NO.items() if documented.text.startswith(text)), None)
    if no is not None and ended.code == 1:
        assert no in ended.err, ended
        return
    assert ended.code == 0, ended
    if "--json" in words:
        assert all(json.loads(line) for line in ended.out.splitlines())
    elif "--help" not in words:
        shape = SHAPES.get(" ".join(words[:2]), SHAPES.get(words[0], r"\S"))
        assert re.match(shape, ended.out), ended.out


def filled_in(shop: RunningStack, documented: Documented) -> list[str]:
    """The words after `saga`, with what stands for something replaced, made short where it is long."""
    text = re.sub(r" \[(?!\")[^\"']*\]+$", "", documented.text)
    words = shlex.split(text)[1:]
    if documented.text in TOO_LONG or text in TOO_LONG or is_mention(words):
        return [*names_of(words), "--help"]
    order = shop.parked if words[0] == "dead-letters" else shop.order_id
    stands = {
        "ORDER": order,
        "ORDER_ID": order,
        "P": "0",
        "O": "99999",
        "SERVICE": "payment",
        "NAME": "shipping",
        "KEY": order,
        "GROUP": shop.group() if "GROUP" in words else "",
        "4711": shop.refused() if "4711" in words else "",
    }
    made = [stands.get(w, order if re.fullmatch(r"[0-9a-f-]{36}", w) else w) for w in words]
    made = [place_of(shop, before, word) for before, word in zip(["", *made], made, strict=False)]
    short = next((more for t, more in SHORT.items() if text.startswith(t)), [])
    made += short if "--plan" not in made else []
    made += ["--yes"] if words[1:2] == ["discard"] else []
    return made


def place_of(shop: RunningStack, before: str, word: str) -> str:
    if before == "--into":
        return shop.database()
    if before in {"--code", "--from", "--to"}:
        return str(ROOT)
    if before == "--plan":
        return Plan.drawn(7, 5, frozenset()).to_json()
    if word in {"/var/lib/checkout/log", "URL"}:
        return str(shop.folder / "archive")
    if word == "FILE" or word.startswith("tests/contract/schema/"):
        return str(ROOT / word) if (ROOT / word).is_file() else shop.file()
    return word


def names_of(words: list[str]) -> list[str]:
    """The words that name a command; a group may be one itself."""
    group: Any = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    needs = hasattr(group, "commands") and not group.invoke_without_command
    return words[:2] if needs or words[1:2] == ["apply"] else words[:1]


def is_mention(words: list[str]) -> bool:
    """A name without what it needs: the text is about it, nobody would give it like that."""
    command: Any = typer.main.get_command(app)
    for name in (names := names_of(words)):
        command = command.commands[name]
    is_group = hasattr(command, "commands") and not command.invoke_without_command
    needs = is_group or any(p.required for p in command.params)
    return (needs and words == names) or words == ["replay"]


def carried_out(shop: RunningStack, words: list[str]) -> Ended:
    if "--follow" in words:
        return followed(shop.folder, words, ".v1")
    if "--code" in words:  # which another process does
        ended = run(shop.folder, *words)
        return Ended(ended.returncode, ended.stdout, ended.stderr)
    goes_on = words[0] == "replay" and "--help" not in words and "--until" not in words
    if goes_on:  # a service that runs is not rebuilt
        assert saga("stop", words[1]).code == 0
    result = saga(*words)
    if goes_on or (words[0] == "stop" and "--help" not in words):
        assert saga("start", words[1]).code == 0
    return result


def test_the_page_that_follows_an_order_is_where_the_stack_says(shop: RunningStack) -> None:
    url = f"{shop.process('order-1').address}/example"
    assert url in shop.outcome
    page = httpx.get(url)
    assert page.headers["content-type"].startswith("text/html")
    assert "/events`" in page.text


def test_logs_are_followed(shop: RunningStack) -> None:
    ended = followed(shop.folder, ["logs", "-f", "order"], '"event": ')
    assert (ended.code, "event" in ended.out) == (0, True)


def test_up_tells_a_newcomer_what_he_needs(shop: RunningStack) -> None:
    """The checkout that it prints was sent as it stands, by the fixture."""
    assert shop.process("order-1").address in shop.outcome.partition("Try it:")[2]
    assert str(state.FILE) in shop.outcome
    assert "`saga start NAME`" in shop.outcome
    assert stat.S_IMODE((shop.folder / state.FILE).stat().st_mode) == 0o600


def test_nobody_else_can_read_what_a_stack_writes_or_knows(shop: RunningStack) -> None:
    stack = shop.stack
    servers_folder = Path(shop.process("kafka").log).parent
    assert [*open_to_others(shop.folder / state.FILE.parent), *open_to_others(servers_folder)] == []
    addresses = addresses_of(*stack["servers"])
    password = urlsplit(addresses.postgres_url).password
    secrets = {stack["issuer_secret"], password, *addresses.passwords.values()}
    pids = [process["pid"] for process in (stack["supervisor"], *stack["processes"])]
    shown = arguments_of(pids)
    assert "postgres" in shown
    assert [secret for secret in secrets if str(secret) in shown] == []


def test_a_process_that_died_is_shown_as_such_and_told_of_until_it_is_started(
    shop: RunningStack,
) -> None:
    loyalty, order = shop.process("loyalty-1"), shop.process("order-1")
    psutil.Process(loyalty.pid).kill()
    until(lambda: "loyalty-1 ended with -9" in (shop.folder / ".saga" / "up.log").read_text())
    line = next(x for x in saga("status").out.splitlines() if "loyalty-1" in x)
    assert [cell.strip() for cell in line.split("\u2502")][2:-1] == [
        "-", loyalty.address, "ended with -9", "-"
    ]  # fmt: skip
    assert saga("status").code == 1
    token = {"Authorization": f"Bearer {saga('token', 'bob').out.strip()}"}
    url = f"{order.address}/checkout"
    answer = httpx.post(url, json=CHECKOUT, headers=token, timeout=30)
    placed = answer.json()["order_id"]
    until(lambda: "$ saga restart loyalty" in saga("why", placed).out)
    psutil.Process(
        shop.process("shipping-1").pid
    ).kill()  # a second one, unlike what was written down
    assert saga("restart", "loyalty").code == 0
    assert saga("start", "shipping").code == 0
    until(lambda: "is CONFIRMED" in saga("why", placed).out)
    assert saga("status").code == 0


def test_a_service_is_stopped_started_and_nothing_else_is(shop: RunningStack) -> None:
    before = {p["name"]: p["pid"] for p in shop.stack["processes"]}
    assert saga("stop", "shipping") == Ended(0, "shipping-1 stopped\n", "")
    assert not shop.process("shipping-1").is_alive()
    assert saga("status").code == 1
    assert saga("stop", "shipping").code == 0
    assert saga("start", "shipping") == Ended(0, "shipping-1 ready\n", "")
    assert saga("start", "shipping").code == 0
    after = {p["name"]: p["pid"] for p in shop.stack["processes"]}
    assert {name for name in before if before[name] != after[name]} == {"shipping-1"}
    assert saga("restart", "bank").code == 2
    assert run(shop.folder, "up").returncode == 2


def test_a_table_is_whole_in_a_narrow_terminal_and_in_a_pipe(shop: RunningStack) -> None:
    addresses = {p["address"] for p in shop.stack["processes"]}
    narrow = ["script", "-qec", f"{sys.executable} -m saga_cli.main status", "/dev/null"]
    if shutil.which("script"):
        env = {**os.environ, "COLUMNS": "72", "PYTHONPATH": str(ROOT)}
        seen = subprocess.run(narrow, capture_output=True, text=True, check=False, env=env).stdout
        assert all(address in seen for address in addresses)
    piped = saga("status", COLUMNS="40").out
    assert all(address in piped for address in addresses)


def test_down_ends_all_of_it_and_leaves_nothing(shop: RunningStack) -> None:
    stack = [state.Running(**p) for p in shop.stack["processes"]]
    down = run(shop.folder, "down")
    assert (down.returncode, down.stdout) == (0, "Stopped; nothing is left running.\n")
    assert not any(process.is_alive() for process in stack)
    assert not Path(stack[0].log).parent.exists()
    assert not (shop.folder / state.FILE).exists()
    assert "No stack" in run(shop.folder, "down").stdout
    assert saga("status").code == 1
