"""The files of a service's image, as the Dockerfile copies them; no engine is needed for it."""

import re
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = re.compile(r"^COPY (?!--from)(\S+) (\S+)$", re.MULTILINE)


def last_stage() -> str:
    """Of a service; the console's is the one before."""
    return re.split(r"^FROM ", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)[-1]


def sent_to_the_engine() -> tuple[list[str], list[str]]:
    """What .dockerignore lets in at the top, and what it leaves out anywhere."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").split()
    allowed = [line[1:] for line in lines if line[0] == "!"]
    return allowed, [line.removeprefix("**/") for line in lines if line.startswith("**/")]


def copied_into(folder: Path, service: str) -> Path:
    """What is in the image's working folder beside its environment. Raises ValueError."""
    allowed, left_out = sent_to_the_engine()
    for source, target in COPIED.findall(last_stage()):
        name, place = (text.replace("${SERVICE}", service) for text in (source, target))
        if not any(fnmatch(name.partition("/")[0], each) for each in allowed):
            raise ValueError(f"the engine does not get {name}: see .dockerignore")
        shutil.copytree(ROOT / name, folder / place, ignore=shutil.ignore_patterns(*left_out))
    return folder
