"""Parts of files that are made from the code, between two marks; the rest is written by hand."""

import re
from pathlib import Path
from typing import Final

MARKS: Final = re.compile(
    r"(^(?:#|<!--) Made by `python -m tests\.docs_pages`[^\n]*\n)(.*?)"
    r"(^(?:#|<!--) The end of what is made by `python -m tests\.docs_pages`[^\n]*\n)",
    re.MULTILINE | re.DOTALL,
)


def between_marks(path: Path, made: str) -> str:
    """The file's text with `made` in its one such part. Raises ValueError if it has not one."""
    text, count = MARKS.subn(lambda found: found[1] + made + found[3], path.read_text("utf-8"))
    if count != 1:
        raise ValueError(f"{path} has {count} parts between marks")
    return text
