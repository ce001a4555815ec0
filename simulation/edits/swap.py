"""A bug that changes functions alone: their code is replaced in modules that are loaded already."""

import gc
import sys
from collections.abc import Iterator
from inspect import CO_NEWLOCALS, CO_OPTIMIZED
from itertools import chain
from pathlib import Path
from types import CodeType, FunctionType
from typing import Final

from simulation.edits.edit import Edit

ROOT: Final = Path(__file__).parents[2]
OF_A_FUNCTION: Final = CO_NEWLOCALS | CO_OPTIMIZED


FUNCTIONS: Final[dict[str, list[FunctionType]]] = {}
"""Those that bugs can be put in, by file; without `note_loaded` there are none."""


def note_loaded() -> None:
    """Look for every function that is loaded: once, in a process that is forked for each bug."""
    for each in gc.get_objects():
        if isinstance(each, FunctionType):
            FUNCTIONS.setdefault(each.__code__.co_filename, []).append(each)


def changes_functions_only(edit: Edit) -> bool:
    """Whether all that it changes is inside of functions of a Python module."""
    return edit.file.endswith(".py") and bool(_changed(edit))


def swap(edit: Edit) -> None:
    """For the life of this process. Raises RuntimeError where nothing that is loaded has such code."""
    changed, file = _changed(edit), str(ROOT / edit.file)
    loaded_again = [
        vars(m).values() for m in sys.modules.values() if vars(m).get("__file__") == file
    ]
    candidates = chain(FUNCTIONS[file], *loaded_again)
    functions = (each for each in candidates if isinstance(each, FunctionType))
    found = {id(each): each for each in functions if each.__code__ in changed}
    if not found:
        raise RuntimeError(f"{edit.name}: no function of {edit.file} is loaded")
    for function in found.values():
        function.__code__ = changed[function.__code__]


def _changed(edit: Edit) -> dict[CodeType, CodeType]:
    """Each function's code that changes, and what it becomes; nothing where more than functions does."""
    source, file = (ROOT / edit.file).read_text(), str(ROOT / edit.file)
    was = compile(source, file, "exec", dont_inherit=True)
    now = compile(edit.of(source), file, "exec", dont_inherit=True)
    try:
        return dict(_pairs(was, now))
    except _MoreThanFunctionsError:
        return {}


class _MoreThanFunctionsError(Exception):
    pass


def _pairs(was: CodeType, now: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    if was == now:
        return
    is_function = was.co_flags & OF_A_FUNCTION == OF_A_FUNCTION
    if is_function:
        if was.co_freevars != now.co_freevars:
            raise _MoreThanFunctionsError  # a function's cells can't be changed
        yield was, now
    elif _own(was) != _own(now):
        raise _MoreThanFunctionsError
    before, after = _inner(was), _inner(now)
    if [code.co_name for code in before] == [code.co_name for code in after]:
        for inner, other in zip(before, after, strict=True):
            yield from _pairs(inner, other)
    elif not is_function:  # which makes those inside of it anew
        raise _MoreThanFunctionsError


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _own(code: CodeType) -> tuple[object, ...]:
    """What a module or the body of a class does itself."""
    constants = tuple(c for c in code.co_consts if not isinstance(c, CodeType))
    return code.co_code, constants, code.co_names
