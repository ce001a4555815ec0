"""The services are listed in one place: whoever else needs all of them reads the manifests."""

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from shared_events.owners import OWNERS
from tests.architecture.test_tidy import ROOT, SOURCES, TREES, files, name_of
from tests.docs_pages import MADE
from tests.support.syntax import nodes_of

MANY: Final = 4
"""A list of so many is one of all services, or of those with a database."""
MOST: Final = 5
"""A module that names so many knows the system as a whole."""
LISTS: Final = {
    "shared_events/owners.py": "the list",
    "shared_events/lanes.py": "the topics of before the lanes: a new service has none",
    "guarantees/protocol.py": "what each service does to an order",
    "bench/peers/ceiling.py": "the same shop on other tools, a project of its own",
    "bench/peers/naive.py": "as above",
    "bench/peers/orchestrator.py": "as above",
    "bench/peers/shop.py": "as above",
    "tests/choreography/test_checker.py": "a wrong rule of each of some services",
    "tests/choreography/test_reconcile.py": "the details that the judge reads of some services",
    "tests/integration/test_verify.py": "a statement that spoils a row of each of some services",
}
"""Files that may list services, and why: none of them has to name one that is new."""
MODULES: Final = {
    "shared_events/owners.py": "the list",
    "shared_events/lanes.py": "the topics of before the lanes: a new service has none",
    "guarantees/protocol.py": "what each service does to an order",
    "guarantees/judge.py": "what amounts, pieces and points have to agree, beyond the states",
    "saga_cli/observed/objects.py": "what each service's events are about",
    "simulation/mutants/rules.py": "a wrong rule of each of some services",
    "simulation/verdict.py": "the ledgers outside, each against the service that calls",
    "bench/peers/books.py": "the same shop on other tools, a project of its own",
    "bench/peers/ceiling.py": "as above",
    "bench/peers/naive.py": "as above",
    "bench/peers/orchestrator.py": "as above",
    "bench/peers/shop.py": "as above",
}
"""Modules that may name every service, one here and one there, and why."""
NAMED: Final = re.compile(rf"({'|'.join(OWNERS)})(_svc|\.events|\.dead-letters)?")
SHAPE: Final = {"__main__", "api", "domain", "manifest", "messages", "service", "settings"}
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def named_by(node: ast.AST | None) -> Iterator[str]:
    """The service that an element of a list, or a key, is or begins with."""
    match node:
        case ast.Constant(value=str(text)) if found := NAMED.fullmatch(text):
            yield found[1]
        case ast.Name(id=text) if text.lower() in OWNERS:
            yield text.lower()
        case ast.Attribute(value=inner) | ast.Subscript(slice=inner) | ast.Starred(value=inner):
            yield from named_by(inner)
        case ast.Tuple(elts=[head, *_]) | ast.List(elts=[head, *_]) | ast.Call(args=[head, *_]):
            yield from named_by(head)
        case _:
            return


def in_a_list(node: ast.AST) -> set[str]:
    """The services that one display, or one call, names."""
    parts: Sequence[ast.AST | None] = ()
    match node:
        case ast.Tuple() | ast.List() | ast.Set():
            parts = node.elts
        case ast.Dict():
            parts = node.keys
        case ast.Call():
            parts = node.args
        case ast.Constant(value=str(text)):
            words = re.split(r"[\s,|]+", text.strip())
            parts = [ast.Constant(word) for word in words] if set(words) <= {*OWNERS} else ()
        case _:
            pass
    return {name for part in parts for name in named_by(part)}


def lists(tree: ast.AST) -> list[set[str]]:
    return [found for node in nodes_of(tree) if len(found := in_a_list(node)) >= MANY]


def imported_by(node: ast.AST) -> set[str]:
    match node:
        case ast.ImportFrom(module=str(module)):
            return {service for service in OWNERS if module.partition(".")[0] == f"{service}_svc"}
        case ast.Import(names=names):
            tops = {alias.name.partition(".")[0] for alias in names}
            return {service for service in OWNERS if f"{service}_svc" in tops}
        case _:
            return set()


def mentioned(tree: ast.AST) -> set[str]:
    """The services that a module names in texts or imports."""
    return {
        name
        for node in nodes_of(tree)
        if isinstance(node, ast.Constant | ast.Name | ast.Import | ast.ImportFrom)
        for name in (*named_by(node), *imported_by(node))
    }


def with_names_of(many: int) -> dict[str, ast.Module]:
    """The sources in which as many services are named in any way."""
    texts = {name: text.lower() for name, text in SOURCES.items()}
    return {
        name: TREES[name]
        for name, text in texts.items()
        if sum(service in text for service in OWNERS) >= many
    }


def test_no_file_lists_the_services_by_hand() -> None:
    found = {name for name, tree in with_names_of(MANY).items() if lists(tree)}
    assert found == LISTS.keys()


def test_no_module_names_every_service() -> None:
    own = {f"{service}_svc" for service in OWNERS} | {"tests"}
    others = {
        name: tree for name, tree in with_names_of(MOST).items() if Path(name).parts[0] not in own
    }
    found = {name for name, tree in others.items() if len(mentioned(tree)) >= MOST}
    assert found == MODULES.keys()


@pytest.mark.parametrize(
    "text",
    [
        f"X = {OWNERS}",
        f"X = {list(OWNERS[1:])}",
        f"X = {dict.fromkeys(OWNERS)}",
        f"X = {' '.join(OWNERS)!r}.split()",
        f"f({', '.join(map(repr, OWNERS))})",
        f"X = {[(name, 1) for name in OWNERS]}",
        f"X = {[f'{name}.events' for name in OWNERS]}",
        f"X = {[f'{name}_svc' for name in OWNERS]}",
        f"X = ({', '.join(f'{name}.SERVICE' for name in OWNERS)})",
        f"X = ({', '.join(name.upper() for name in OWNERS)})",
        f"X = ({', '.join(f'url({name!r})' for name in OWNERS)})",
    ],
)
def test_a_list_is_found_in_whatever_form(text: str) -> None:
    assert lists(ast.parse(text)) != []


@pytest.mark.parametrize("form", ["import {}_svc.domain", "from {}_svc import domain", "f('{}')"])
def test_a_module_that_names_every_service_is_found(form: str) -> None:
    assert mentioned(ast.parse("\n".join(map(form.format, OWNERS)))) == set(OWNERS)


def test_files_that_are_no_code_name_no_service_unless_they_are_made() -> None:
    """Compose, init scripts, rules, the Dockerfile and make: what they need of services is made or read."""
    made = {name_of(path) for path in MADE}
    texts = [
        *files(".yaml", ".sh", ".toml", ".cfg", ".ini"),
        ROOT / "Dockerfile",
        ROOT / "Makefile",
    ]
    names = "|".join(f"{service}_svc|{service}_db" for service in OWNERS)
    found = {name_of(p) for p in texts if re.search(rf"\b({names})\b", p.read_text("utf-8"))}
    assert found - made == {"pyproject.toml"}


def strings(value: Any) -> Iterator[list[str]]:
    """Every list of texts in a document."""
    match value:
        case dict():
            for inner in value.values():
                yield from strings(inner)
        case [str(), *_]:
            yield value
        case list():
            for inner in value:
                yield from strings(inner)
        case _:
            return


def test_pyproject_names_every_service_wherever_it_names_one() -> None:
    """TOML has no loops, so the lists are by hand; this is what says that one is forgotten."""
    for texts in strings(PROJECT):
        words = re.findall(r"[\w.]+", " ".join(texts))
        forms = [
            {re.sub(rf"\b{service}(?=_svc|\b)", "X", word) for word in words} - {*words}
            for service in OWNERS
        ]
        assert all(form == forms[0] for form in forms), texts
    assert PROJECT["project"]["optional-dependencies"].keys() >= set(OWNERS)
    scripts = {f"{service}-svc": f"{service}_svc.__main__:main" for service in OWNERS}
    assert scripts.items() <= PROJECT["project"]["scripts"].items()


@pytest.mark.parametrize("service", OWNERS)
def test_a_service_has_the_shape_of_the_others(service: str) -> None:
    assert {path.stem for path in (ROOT / f"{service}_svc").glob("*.py")} >= SHAPE


def test_every_service_is_in_the_list() -> None:
    assert {path.parent.name for path in ROOT.glob("*_svc/manifest.py")} == {
        f"{service}_svc" for service in OWNERS
    }
