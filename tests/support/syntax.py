"""Python sources as trees."""

import ast
import gc
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
