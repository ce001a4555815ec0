"""The code of a release as it runs, in one file: `python -m scripts.release_code TAG VERSION`.

It is what an archive of the tag holds of the services, and what they stand on. Tests start it beside
today's code (tests/support/releases.py); `saga deploy-check` reads it as well.
"""

import argparse
import lzma
import sys
from pathlib import Path
from typing import Final

from guarantees.services import SERVICES
from saga_cli.checkouts import archived

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "tests" / "contract" / "releases"
FOLDERS: Final = ("chassis", "shared_events", *(spec.module for spec in SERVICES))


def packed(revision: str) -> bytes:
    """The same revision gives the same bytes. What is none ends the command with 2."""
    return lzma.compress(archived(revision, FOLDERS), preset=9 | lzma.PRESET_EXTREME)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("revision", help="a tag, or another revision of git")
    parser.add_argument("version", help="the release, such as 0.2.0")
    asked = parser.parse_args()
    path = FOLDER / f"{asked.version}.tar.xz"
    with path.open("xb") as file:  # a release is what it was: no file is replaced
        file.write(packed(asked.revision))
    sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
