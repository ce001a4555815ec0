"""How the commands speak: one line for an error, nothing that plays with the screen."""

from pathlib import Path

import pytest

from saga_cli.letters import _value
from saga_cli.terminal import lasting, plain
from tests.support.saga import saga


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a stack."""
    monkeypatch.chdir(tmp_path)


URLS = {f"SAGA_{name}_URL": "http://127.0.0.1:1" for name in ("ORDER", "INVENTORY", "PAYMENT")}
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
    (["why", "o-1"], URLS, "set SAGA_SHIPPING_URL, SAGA_LOYALTY_URL, SAGA_OPERATOR_TOKEN too"),
    (["dead-letters", "list", "order"], URLS, "set SAGA_OPERATOR_TOKEN too"),
]


@pytest.mark.parametrize(("words", "variables", "says"), WRONG, ids=[" ".join(x[0]) for x in WRONG])
def test_what_is_asked_wrongly_is_one_line_and_exit_code_2(
    words: list[str], variables: dict[str, str], says: str
) -> None:
    result = saga(*words, **variables)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("saga: ")
    assert says in result.err
    assert len(result.err.splitlines()) == 1


def test_a_service_that_does_not_answer_is_one_line_and_exit_code_1() -> None:
    result = saga("dead-letters", "list", "order", **URLS, SAGA_OPERATOR_TOKEN="t")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("saga: order does not answer: ")
    assert len(result.err.splitlines()) == 1


def test_control_characters_are_spelled_out() -> None:
    assert plain("a\x1b[31mb\u202ec\nd é") == "a\\x1b[31mb\\u202ec\\nd é"


def test_a_value_is_shown_as_json_or_as_bytes() -> None:
    assert _value(b'{"a":[1,"\\u001b"]}') == [
        "{",
        '  "a": [',
        "    1,",
        '    "\\u001b"',
        "  ]",
        "}",
    ]
    assert _value(b"\xff\x00 rubbish") == [
        "00000000  ff 00 20 72 75 62 62 69 73 68                    .. rubbish"
    ]
    assert _value(None) == ["null"]
    assert _value(b"") == ["no bytes"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (90, "90 s"), (240, "4 min"), (7300, "2 h"), (1e6, "11 days")],
)
def test_a_time_is_told_in_the_unit_that_says_enough(seconds: float, text: str) -> None:
    assert lasting(seconds) == text
