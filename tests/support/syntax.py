"""Python sources as trees."""

import ast
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def tree_of(path: Path) -> ast.Module:
    """The tree of a file, parsed once a process.

    CPython 3.11 fails to parse while the collector runs a finalizer that parses too, as the traceback
    of a warning does ("AST constructor recursion depth mismatch"), so no garbage is collected here.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(path.read_text("utf-8"))
    finally:
        if collecting:
            gc.enable()


@cache
def nodes_of(tree: ast.AST) -> tuple[ast.AST, ...]:
    """All of a tree, walked once a process: a dozen tests look at every node of every source."""
    return tuple(ast.walk(tree))


def calls_of(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    """The calls of functions, classes and methods of these names, whatever they are attributes of."""
    for node in nodes_of(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in names:
                yield node
