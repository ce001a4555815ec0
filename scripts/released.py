"""What a tag such as order/v1.2.3 releases: `python -m scripts.released TAG`; without one all processes.

It prints lines NAME=VALUE, as a workflow takes them. Exit code 2: the tag is none of a release, or names
another version than the service's manifest.
"""

import argparse
import json
import re
import sys
from typing import Final

from saga_cli.topology import BY_NAME
from scripts.shipped import IMAGES

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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tag", nargs="?", help="such as order/v1.2.3")
    tag = parser.parse_args().tag
    try:
        found = released_by(tag) if tag else {"names": json.dumps(IMAGES)}
    except NoReleaseError as error:
        parser.error(str(error))
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in found.items()))


if __name__ == "__main__":
    main()
