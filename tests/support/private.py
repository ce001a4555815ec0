"""What others than its owner may read of a folder, and what `ps` shows them."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil


def open_to_others(folder: Path) -> Iterator[Path]:
    """Files that they may read, and folders that they may list; where they may not enter, none.

    Programs that were copied for a server's own user are nobody's secret.
    """
    for place, folders, files in os.walk(folder):
        if "programs" in folders:
            folders.remove("programs")
        mode = stat.S_IMODE(Path(place).stat().st_mode)
        if mode & 0o044:
            yield Path(place)
        if not mode & 0o011:
            folders.clear()
        else:
            found = (Path(place, name) for name in files)
            yield from (file for file in found if stat.S_IMODE(file.lstat().st_mode) & 0o066)


def arguments_of(pids: Iterable[int]) -> str:
    """Of these processes and those that they have started."""
    processes = [psutil.Process(pid) for pid in pids]
    children = [child for each in processes for child in each.children(recursive=True)]
    return "\n".join(" ".join(each.cmdline()) for each in (*processes, *children))
