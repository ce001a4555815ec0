"""What runs: the release of a service's own, and the commit that it was built of."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

DISTRIBUTION: Final = "choreographed-checkout"
COMMIT_FILE: Final = Path(__file__).with_name("commit.txt")
"""`git archive` writes the commit into it, and so does the Dockerfile; a checkout has a placeholder."""


def commit() -> str:
    """The commit in full; "" where it is not known, as in a checkout."""
    try:
        text = COMMIT_FILE.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return text if re.fullmatch("[0-9a-f]{40}", text) else ""


def of_distribution() -> str:
    """The release of the package that holds all services and tools; "unknown" where it is not installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def shown(name: str, release: str) -> str:
    """As a program prints it that is asked for its version."""
    built_of = commit()
    return f"{name} {release}" + (f" (commit {built_of})" if built_of else "")
