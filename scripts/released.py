"""What a tag such as order/v1.2.3 releases: `python -m scripts.released TAG`; without one all processes.

It prints lines NAME=VALUE, as a workflow takes them. `--notes FILE` writes what the service's changelog
says of the version. Exit code 2: the tag is none of a release, names another version than the service's
manifest, or one that its changelog lacks.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Final

from saga_cli.topology import BY_NAME
from scripts.shipped import IMAGES

ROOT: Final = Path(__file__).parents[1]
TAG: Final = re.compile(r"(?P<service>[a-z]+)/v(?P<version>\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)")


class NoReleaseError(ValueError):
    """The message says what the tag is instead of a release."""


def released_by(tag: str) -> dict[str, str]:
    """The service and its version. Raises NoReleaseError."""
    found = TAG.fullmatch(tag)
    if found is None or found["service"] not in BY_NAME:
        raise NoReleaseError(f"{tag} is no release: SERVICE/vX.Y.Z, of {', '.join(BY_NAME)}")
    declared = BY_NAME[found["service"]].version
    if found["version"] != declared:
        raise NoReleaseError(f"{tag} is not the version in the manifest, which is {declared}")
    return found.groupdict()


def notes_of(service: str, version: str, root: Path = ROOT) -> str:
    """What is new in it, of the service's own changelog. Raises NoReleaseError."""
    text = (root / BY_NAME[service].module / "CHANGELOG.md").read_text("utf-8")
    section = re.compile(
        rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
    )
    found = section.search(text)
    if found is None:
        raise NoReleaseError(f"{service}'s changelog has no section {version} with a date")
    return found[1].strip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tag", nargs="?", help="such as order/v1.2.3")
    parser.add_argument("--notes", type=Path, help="a file for what is new, of a tag")
    asked = parser.parse_args()
    try:
        found = released_by(asked.tag) if asked.tag else {"names": json.dumps(IMAGES)}
        if asked.tag and asked.notes:
            asked.notes.write_text(notes_of(found["service"], found["version"]), "utf-8")
    except NoReleaseError as error:
        parser.error(str(error))
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in found.items()))


if __name__ == "__main__":
    main()
