"""A plugin of pytest (`-p simulation.edits.plugin`): SAGA_MUTANT names a bug of `real` to put in."""

import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, Final

from simulation.edits.edit import Edit
from simulation.edits.real import EDITS
from simulation.edits.swap import FUNCTIONS, changes_functions_only, swap

ROOT: Final = Path(__file__).parents[2]


def _edit_module(edit: Edit) -> None:
    """One module is loaded from its edited source, whatever is cached, or was loaded before a fork."""
    for name, module in [*sys.modules.items()]:
        if getattr(module, "__file__", None) == str(ROOT / edit.file):
            del sys.modules[name]
    get_code = SourceFileLoader.get_code

    def edited(self: SourceFileLoader, fullname: str) -> CodeType | None:
        if self.path != str(ROOT / edit.file):
            return get_code(self, fullname)
        return compile(edit.of(Path(self.path).read_text()), self.path, "exec")

    SourceFileLoader.get_code = edited  # type: ignore[assignment, method-assign]  # for its life


def _edit_text(edit: Edit) -> None:
    """Scripts are read as text when their module is loaded."""
    read = Path.read_text

    def edited(self: Path, *how: Any, **more: Any) -> str:
        text = read(self, *how, **more)
        return edit.of(text) if self == ROOT / edit.file else text

    Path.read_text = edited  # type: ignore[method-assign]  # for the life of this process


def pytest_load_initial_conftests() -> None:
    name = os.environ.get("SAGA_MUTANT")
    if not name:
        return
    edit = EDITS[name]
    if not edit.file.endswith(".py"):
        _edit_text(edit)
    elif FUNCTIONS and changes_functions_only(edit):
        swap(edit)
    else:
        _edit_module(edit)
