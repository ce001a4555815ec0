"""Every `saga ...` in pages, errors, log lines, rules and scripts is a command with these options."""

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple

import pytest
import typer
from typer._click.exceptions import UsageError  # typer exports it under no other name

from saga_cli.main import app
from tests.architecture.test_tidy import ROOT, TREES, files, name_of
from tests.support.documented import commands
from tests.support.syntax import nodes_of

MENTION: Final = re.compile(r"(?:^|[`$:(\"']\s?)saga ([a-z-][^`\n]*)", re.MULTILINE)
"""At the start of a line, or after a backtick, a prompt, a colon or a quote."""
NOT_SHIPPED: Final = ("tests/", "bench/peers/")
BUILT_BY: Final = [ROOT / "Makefile", ROOT / "Dockerfile", ROOT / ".ci" / "run"]
SAGA: Final[Any] = typer.main.get_command(app)


class Mention(NamedTuple):
    """The words after `saga`, and where they stand: a path, or path:line."""

    where: str
    words: str


def of_pages() -> Iterator[Mention]:
    for each in commands().values():
        if each.words[0] == "saga":
            yield Mention(each.page, each.text.partition("saga ")[2])


def of_code() -> Iterator[Mention]:
    """Help, errors, log lines and docstrings."""
    for name, tree in TREES.items():
        if not name.startswith(NOT_SHIPPED):
            for line, text in strings(tree):
                yield from mentions(f"{name}:{line}", text)


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The strings of a module by line; `{}` stands for what is formatted into one."""
    parts: set[ast.AST] = set()
    for node in nodes_of(tree):
        if isinstance(node, ast.JoinedStr):
            parts.update(node.values)
            texts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
            yield node.lineno, "".join(map(str, texts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield node.lineno, node.value


def of_other_files() -> Iterator[Mention]:
    """Rules for Prometheus, deployment, scripts and the build."""
    found = [*files(".yaml", ".yml", ".sh", ".lua", ".sql", ".json", ".toml"), *BUILT_BY]
    return chain.from_iterable(mentions(name_of(p), p.read_text("utf-8")) for p in found)


def mentions(where: str, text: str) -> Iterator[Mention]:
    return (Mention(where, words) for words in MENTION.findall(text))


def wrong_with(words: str) -> str:
    """What `words` ask `saga` for and there is not; "" if all is there.

    Values are not looked at: `ORDER`, or what a text is completed with, stands for one.
    """
    line = shlex.split(re.sub(r"[\[\]]|:( .*)?$", "", words), comments=True)
    group = line[:1] if line[0] in SAGA.commands and has_commands(SAGA.commands[line[0]]) else []
    several = [[*group, name] for name in line[len(group) :] if name != "|"]  # `why | resolve`
    return "; ".join(filter(None, map(refusal, several if "|" in line else [line])))


def has_commands(command: Any) -> bool:
    return hasattr(command, "commands")


def refusal(words: list[str]) -> str:
    command = SAGA
    while has_commands(command) and words and not words[0].startswith("-"):
        name, *words = words
        if name not in command.commands:
            return f"{command.name or 'saga'} has no {name}"
        command = command.commands[name]
    parser = command.make_parser(command.context_class(command))
    try:
        _, surplus, _ = parser.parse_args(words)
    except UsageError as error:
        return error.format_message()
    return f"{command.name} takes no {' '.join(surplus)}" if surplus else ""


@pytest.mark.parametrize("where", [of_pages, of_code, of_other_files])
def test_what_is_named_is_there(where: Callable[[], Iterator[Mention]]) -> None:
    found = list(where())
    assert found
    assert {each: no for each in found if (no := wrong_with(each.words))} == {}


def test_they_are_found_wherever_they_stand() -> None:
    module = '''
"""saga outbox list | redrive: rows."""
def advise(service):
    print(f"rebuild it: `saga replay {service} --in-place`, "
          "or `saga verify`")
    return ("saga logs ", f"saga restart {service}", "a saga is no command")
'''
    found = [words for _, text in strings(ast.parse(module)) for _, words in mentions("", text)]
    assert sorted(found) == [
        "logs ",
        "outbox list | redrive: rows.",
        "replay {} --in-place",
        "restart {}",
        "verify",
    ]
    rule = '  description: "Rows wait: `saga outbox list`"\n  command: saga up --detach\n'
    assert [words for _, words in mentions("", rule)] == ["outbox list", "up --detach"]


@pytest.mark.parametrize(
    ("words", "no"),
    [
        ("recncile --wait 60", "saga has no recncile"),
        ("schema chek", "schema has no chek"),
        ("dead-letters list | shw: keys", "dead-letters has no shw"),
        ("why | resolv", "saga has no resolv"),
        ("verify --decided", "No such option: --decided"),
        ("why ORDER payment", "why takes no payment"),
        ("logs -f {}", ""),
        ("schema check [OLD [NEW]] --json", ""),
        ("--version", ""),
        ("dead-letters", ""),
    ],
)
def test_what_is_not_there_is_noticed(words: str, no: str) -> None:
    assert wrong_with(words).startswith(no)
    assert bool(wrong_with(words)) == bool(no)
