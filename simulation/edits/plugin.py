"""A plugin of pytest (`-p simulation.edits.plugin`): SAGA_MUTANT names a bug of `real` to put in."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

from simulation.edits.edit import Edit
from simulation.edits.real import EDITS

ROOT: Final = Path(__file__).parents[2]


class _Edited(SourceFileLoader):
    edit: Edit

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        source = self.edit.of(Path(self.path).read_text())
        return compile(source, self.path, "exec")


class _Finder(MetaPathFinder):
    """Loads one module from its edited source, whatever is cached."""

    def __init__(self, edit: Edit) -> None:
        self.edit = edit
        self.file = str(ROOT / edit.file)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin != self.file:
            return None
        loader = _Edited(fullname, self.file)
        loader.edit = self.edit
        spec.loader = loader
        return spec


def _edit_text(edit: Edit) -> None:
    """Scripts are read as text when their module is loaded."""
    read = Path.read_text

    def edited(self: Path, *how: Any, **more: Any) -> str:
        text = read(self, *how, **more)
        return edit.of(text) if self == ROOT / edit.file else text

    Path.read_text = edited  # type: ignore[method-assign]  # for the life of this process


if name := os.environ.get("SAGA_MUTANT"):
    if EDITS[name].file.endswith(".py"):
        sys.meta_path.insert(0, _Finder(EDITS[name]))
    else:
        _edit_text(EDITS[name])
