"""Small functions, small files, nothing left over."""

import ast
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from bench.peers.run import PEERS
from tests.support.syntax import nodes_of, tree_of

ROOT = Path(__file__).parents[2]
FUNCTION_MAX: Final = 45
FILE_MAX: Final = 400
FROZEN: Final = {
    "chassis/postgres/schema.py"
}  # what migrations did: one statement a table, never edited
LEFT_OVER: Final = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*suffixes: str) -> list[Path]:
    """Files of the project, without what tools keep in hidden or generated folders."""
    found: list[Path] = []
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if not is_generated(name)]
        own = (name for name in names if name.endswith(suffixes) and not is_generated(name))
        found += [Path(folder, name) for name in own]
    return sorted(found)


def is_generated(name: str) -> bool:
    return name.startswith(".") or name in {"node_modules", "dist"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


class Trees(Mapping[str, ast.Module]):
    """Of all sources by name, each parsed when it is asked for: few processes of a run look at one."""

    def __getitem__(self, name: str) -> ast.Module:
        if name not in SOURCES:
            raise KeyError(name)
        return tree_of(ROOT / name)

    def __iter__(self) -> Iterator[str]:
        return iter(SOURCES)

    def __len__(self) -> int:
        return len(SOURCES)


SOURCES = {name_of(path): path.read_text(encoding="utf-8") for path in files(".py")}
TREES = Trees()
PAGES = files(".md")


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in nodes_of(tree) if isinstance(node, Function))


def own_lines(function: Function) -> int:
    """The lines of a function without those of the functions in it, such as an API's routes."""
    inner = [node for node in functions(function) if node is not function]
    covered = {n for f in inner for n in range(first_line(f), (f.end_lineno or 0) + 1)}
    return len(set(range(function.lineno, (function.end_lineno or 0) + 1)) - covered)


def first_line(function: Function) -> int:
    return min([function.lineno, *(d.lineno for d in function.decorator_list)])


def module_of(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_started(name: str) -> bool:
    """Started by its path or name: a program, a migration, or what pytest collects."""
    parts = Path(name).parts
    by_tool = "migrations" in parts or Path(name).name.startswith(("test_", "conftest"))
    by_name = Path(name).name in {"__init__.py", "__main__.py", "manifest.py"}
    by_name = by_name or Path(name).parent.name == "samples"  # found by the name of their service
    by_name = by_name or module_of(name) in {f"bench.peers.{peer}" for peer in PEERS}
    return by_tool or by_name or is_program(name)


def is_program(name: str) -> bool:
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return '__name__ == "__main__"' in SOURCES[name] or f'"{module_of(name)}:' in scripts


def test_functions_are_small() -> None:
    named = (
        (name, f) for name, tree in TREES.items() for f in functions(tree) if name not in FROZEN
    )
    sizes = {f"{name}:{f.lineno} {f.name}": own_lines(f) for name, f in named}
    assert {where: size for where, size in sizes.items() if size > FUNCTION_MAX} == {}


def test_files_are_small() -> None:
    sizes = {name: text.count("\n") for name, text in SOURCES.items()}
    assert {name: size for name, size in sizes.items() if size > FILE_MAX} == {}


def test_nothing_is_left_over() -> None:
    texts = {name_of(p): p.read_text("utf-8") for p in files(".py", ".md", ".yaml", ".lua", ".sh")}
    assert [name for name, text in texts.items() if LEFT_OVER.search(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_one_title(page: Path) -> None:
    prose = re.sub(r"^(```|~~~).*?^\1", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1


def test_decisions_are_numbered_in_turn() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    titles = [record.read_text("utf-8").splitlines()[0] for record in records]
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    assert [title.partition(".")[0] for title in titles] == [
        f"# {n + 1}" for n in range(len(titles))
    ]


def test_every_module_is_used() -> None:
    used = {module for tree in TREES.values() for module in imports(tree)}
    unused = [name for name in SOURCES if not is_started(name) and module_of(name) not in used]
    assert unused == []
