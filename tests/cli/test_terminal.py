"""How the commands speak: one line for an error, nothing that plays with the screen."""

import re
import signal
from pathlib import Path

import pytest
import typer
from aiokafka.errors import KafkaConnectionError, NotLeaderForPartitionError, StaleMetadata

from chassis.kafka import Cluster
from guarantees.durations import lasting
from saga_cli.main import LOG as LOG_GROUP
from saga_cli.main import ORDERS, PROOF, STACK
from saga_cli.ops.dead_letters import shown_value
from saga_cli.stack import supervisor
from saga_cli.stack.servers import Servers
from saga_cli.stack.services import Services
from saga_cli.terminal import add_plain, console, fail, message_of, plain, table_of
from saga_cli.topology import SERVICES, addresses_of
from tests.support.saga import saga


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a stack."""
    monkeypatch.chdir(tmp_path)


URLS = {f"SAGA_{name}_URL": "http://127.0.0.1:1" for name in ("ORDER", "INVENTORY", "PAYMENT")}
ALL = {
    **{f"SAGA_{spec.prefix}_URL": "http://127.0.0.1:1" for spec in SERVICES},
    "SAGA_OPERATOR_TOKEN": "t",
}
LOG = {"SAGA_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
SERVERS = {
    **LOG,
    "SAGA_POSTGRES_URL": "postgresql://u:secret@127.0.0.1:1/d",
    "SAGA_REDIS_URL": "redis://127.0.0.1:1",
}
CLASS = re.compile(r"[A-Z]\w*(Error|Exception)\b|secret|<[A-Z]|pydantic")
"""What no person is told: classes, passwords, how a library puts it."""
WRONG = [
    (["nonsense"], {}, "No such command 'nonsense'."),
    (["up", "--instances", "0"], {}, "Invalid value for '--instances'"),
    (["why"], {}, "Missing argument 'order_id'."),
    (["dead-letters", "show", "order"], {}, "Missing argument 'key'."),
    (["dead-letters", "show", "bank", "o-1"], {}, "there are order, inventory"),
    (["dead-letters", "redrive", "order"], {}, "give a KEY, or --all"),
    (["dead-letters", "redrive", "order", "o-1", "--all"], {}, "give a KEY, or --all"),
    (["why", "o-1"], {}, "no stack runs in this folder"),
    (["resolve", "o-1", "--as", "refunded", "--note", "x"], {}, "no stack runs in this folder"),
    (["restart", "kafka"], {}, "no stack runs in this folder"),
    (
        ["why", "o-1"],
        URLS,
        f"set {', '.join(sorted(ALL.keys() - URLS.keys(), key=[*ALL].index))} too",
    ),
    (["dead-letters", "list", "order"], URLS, "set SAGA_OPERATOR_TOKEN too"),
    (["reconcyle"], {}, "Did you mean 'reconcile'"),
    (["start", "order"], {}, "no stack runs in this folder"),
    (["stop", "order"], {}, "no stack runs in this folder"),
    (["dead-letters", "discard", "order", "o-1", "--reason", "r"], ALL, "give --yes"),
    (["replay", "order", "--in-place"], LOG, "give --yes"),
    (["why", "o-1"], {**ALL, "SAGA_ORDER_URL": "127.0.0.1:8001"}, "SAGA_ORDER_URL: no URL such as"),
    (["why", "o-1"], {**ALL, "SAGA_ORDER_URL": "http://h,"}, "SAGA_ORDER_URL: no URL such as"),
    (["why", "o-1"], {**ALL, "SAGA_ORDER_URL": "http://h:0"}, "SAGA_ORDER_URL: no host and port"),
    (["why", "o-1"], {**ALL, "SAGA_OPERATOR_TOKEN": "a b"}, "SAGA_OPERATOR_TOKEN is no token"),
    (
        ["why", "o-1"],
        {**ALL, "SAGA_OPERATOR_TOKEN": "a\nb"},
        "SAGA_OPERATOR_TOKEN: it is one line of text",
    ),
    (
        ["events"],
        {"SAGA_KAFKA_BOOTSTRAP": "nonsense"},
        "SAGA_KAFKA_BOOTSTRAP: a broker is host:port",
    ),
    (["events"], LOG, "Kafka does not answer at 127.0.0.1:1"),
    (["timeline", "o-1"], LOG, "Kafka does not answer at 127.0.0.1:1"),
    (["retention"], LOG, "Kafka does not answer at 127.0.0.1:1"),
    (["events", "--type", "nonsense.x"], LOG, "there is no event 'nonsense.x'"),
    (["events", "--type", "payment.capturd"], LOG, "did you mean payment.captured"),
    (["events", "--since", "2026-02-01", "--until", "2026-01-01"], LOG, "is not before --until"),
    (["reconcile"], LOG, "give ORDER_DATABASE_URL"),
    (["reconcile"], {**LOG, "ORDER_DATABASE_URL": "nonsense"}, "ORDER_DATABASE_URL: no URL"),
    (["reconcile"], SERVERS, "nothing answers at 127.0.0.1:1"),
    (["erase", "o-1"], SERVERS, "nothing answers at 127.0.0.1:1"),
    (["republish"], {**SERVERS, "SAGA_POSTGRES_URL": "nonsense"}, "SAGA_POSTGRES_URL: no URL"),
    (["up"], {**SERVERS, "SAGA_REDIS_URL": "http://h"}, "SAGA_REDIS_URL: no URL such as redis://"),
    (["simulate", "--plan", "nonsense"], {}, "not a plan: "),
    (["verify", "--decide", "--code", "/nowhere"], LOG, "is no checkout"),
]


@pytest.mark.parametrize(
    ("words", "variables", "says"), WRONG, ids=[f"{x[0]} {x[2]}" for x in WRONG]
)
def test_what_is_asked_wrongly_is_one_line_and_exit_code_2(
    words: list[str], variables: dict[str, str], says: str
) -> None:
    result = saga(*words, **variables)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("saga: ")
    assert says in result.err
    assert len(result.err.splitlines()) == 1
    assert not CLASS.search(result.err)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (TimeoutError(), "no answer in time"),
        (
            KafkaConnectionError("Unable to bootstrap from [('h', 9, <A: 0>)]"),
            "Kafka does not answer at h:9",
        ),
        (NotLeaderForPartitionError("x"), "x"),
        (OSError(111, "Connect call failed ('127.0.0.1', 5)"), "nothing answers at 127.0.0.1:5"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (StaleMetadata(), "stale metadata"),
        (RuntimeError("two\nlines"), "two lines"),
    ],
)
def test_an_error_is_told_without_its_class(error: Exception, says: str) -> None:
    assert message_of(error) == says


def test_the_release_is_told() -> None:
    assert re.fullmatch(r"saga \d+\.\d+\.\d+(\.dev\d+)?\n", saga("--version").out)


def test_help_is_in_groups_and_says_what_exit_codes_mean() -> None:
    outcome = saga("--help").out
    assert all(panel in outcome for panel in (STACK, ORDERS, LOG_GROUP, PROOF))
    assert "Exit codes: 0 done." in outcome


def test_a_service_that_does_not_answer_is_one_line_and_exit_code_1() -> None:
    result = saga("dead-letters", "list", "order", **URLS, SAGA_OPERATOR_TOKEN="t")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("saga: order does not answer: ")
    assert len(result.err.splitlines()) == 1


def test_ctrl_c_while_services_start_is_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    postgres, redis = list(SERVERS.values())[1:]
    made = Servers(addresses_of(Cluster("127.0.0.1:1"), postgres, redis), (), tmp_path)
    monkeypatch.setattr(supervisor, "provide", lambda *_, **__: made)
    monkeypatch.setattr(Services, "start_all", interrupted)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert saga("demo").code == 130


def test_control_characters_are_spelled_out() -> None:
    assert plain("a\x1b[31mb\u202ec\nd é") == "a\\x1b[31mb\\u202ec\\nd é"


def test_a_row_from_outside_is_neither_markup_nor_an_error() -> None:
    """A closing tag that nothing opens would end the command, a link would lead anywhere."""
    shown = table_of("reason")
    for cell in ("[/]", "[link=http://x]y[/link]", "\x1b[2J"):
        add_plain(shown, cell)
    with console.capture() as printed:
        console.print(shown)
    for cell in ("[/]", "[link=http://x]y[/link]", "\\x1b[2J"):
        assert cell in printed.get()


def test_an_error_that_quotes_a_server_leaves_the_screen_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit):
        fail("it said \x1b]0;title\x07\nand more")
    assert capsys.readouterr().err == "saga: it said \\x1b]0;title\\x07\nand more\n"


def test_a_value_is_shown_as_json_or_as_bytes() -> None:
    assert shown_value(b'{"a":[1,"\\u001b"]}') == [
        "{",
        '  "a": [',
        "    1,",
        '    "\\u001b"',
        "  ]",
        "}",
    ]
    assert shown_value(b"\xff\x00 rubbish") == [
        "00000000  ff 00 20 72 75 62 62 69 73 68                    .. rubbish"
    ]
    assert shown_value(None) == ["null"]
    assert shown_value(b"") == ["no bytes"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (90, "90 s"), (240, "4 min"), (7300, "2 h"), (1e6, "11 days")],
)
def test_a_time_is_told_in_the_unit_that_says_enough(seconds: float, text: str) -> None:
    assert lasting(seconds) == text
