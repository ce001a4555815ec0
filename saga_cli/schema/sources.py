"""Where a vocabulary comes from: this code, a stored file, another checkout, or a revision of git."""

import re
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from saga_cli.checkouts import OtherCodeError, run_on, unpacked
from saga_cli.schema import snapshot
from saga_cli.schema.snapshot import Vocabulary
from saga_cli.terminal import fail, plain

FOLDERS: Final = ("shared_events", "chassis")
STORED: Final = Path(__file__).parents[2] / "tests" / "contract" / "schema"
"""One file a release: the vocabulary that it was published with."""


def here() -> Vocabulary:
    try:
        return snapshot.today()
    except ValueError as error:
        fail(f"the events of this code make no sense: {error}")


def newest_stored() -> Path:
    files = sorted(STORED.glob("*.json"), key=lambda path: _version(path.stem))
    if not files:
        fail(f"there is no vocabulary in {STORED}: name one")
    return files[-1]


def _version(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def vocabulary(where: str) -> Vocabulary:
    """What is neither a file nor a checkout is taken for a revision; otherwise the command ends."""
    path = Path(where)
    if path.is_file():
        return _stored(path)
    if path.is_dir():
        return _of_checkout(path)
    with unpacked(where, FOLDERS) as folder:
        return _of_checkout(folder)


def _stored(path: Path) -> Vocabulary:
    try:
        return snapshot.ADAPTER.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        why = getattr(error, "strerror", None) or "it is not as `schema export` writes it"
        fail(f"{plain(str(path))} can't be read: {why}")


def _of_checkout(checkout: Path) -> Vocabulary:
    """As its own code says, in its own interpreter if it has one."""
    if not (checkout / "shared_events" / "__init__.py").is_file():
        fail(f"{plain(str(checkout))} is no checkout: it has no shared_events")
    try:
        return snapshot.ADAPTER.validate_json(run_on(checkout, snapshot.__name__))
    except OtherCodeError as error:
        fail(f"the events of {plain(str(checkout))} can't be read: {error}")
