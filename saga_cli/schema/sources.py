"""Where a vocabulary comes from: this code, a stored file, another checkout, or a revision of git."""

import io
import os
import re
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pydantic import ValidationError

from saga_cli.other_checkout import interpreter_of
from saga_cli.schema import snapshot
from saga_cli.schema.snapshot import Vocabulary
from saga_cli.terminal import fail, plain

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
    return _of_revision(where)


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
    environment = {**os.environ, "PYTHONPATH": str(checkout.absolute())}
    command = [interpreter_of(checkout), "-P", snapshot.__file__]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603 - no shell: a checkout that the user names
    if ended.returncode:
        last = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        fail(f"the events of {plain(str(checkout))} can't be read: {plain(' '.join(last))}")
    return snapshot.ADAPTER.validate_json(ended.stdout)


def _of_revision(revision: str) -> Vocabulary:
    folders = ["shared_events", "chassis"]
    command = ["git", "archive", "--format=tar", "--end-of-options", revision, *folders]
    root = Path(__file__).parents[2]
    try:
        packed = subprocess.run(command, cwd=root, capture_output=True, check=False)  # noqa: S603 - no shell, and no revision is an option
    except FileNotFoundError:
        fail(f"there is no file or folder {plain(revision)!r}, and no git to look for a revision")
    if packed.returncode:
        fail(f"there is no file, checkout or revision {plain(revision)!r}")
    with TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(folder, filter="data")
        return _of_checkout(Path(folder))
