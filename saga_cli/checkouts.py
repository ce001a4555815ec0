"""Other code than this: a checkout, an archive of one, or a revision of git, as a folder to run."""

import errno
import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from saga_cli.terminal import fail, plain

ROOT: Final = Path(__file__).parents[1]
OWN: Final = Path(__file__).parent
RUN: Final = """
import sys, types
saga_cli = sys.modules["saga_cli"] = types.ModuleType("saga_cli")
saga_cli.__path__ = [sys.argv.pop(1)]
import runpy
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=False)
"""
"""Runs a module of this `saga_cli` on what else the other code has, whose own may be another or none."""

OF_THE_ARCHIVE: Final = {None, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR}
"""Errors with these numbers come of what is in it, damage without one; others are the disk's own."""


class OtherCodeError(RuntimeError):
    """What the other code says why it can't be read, in one line."""


def interpreter_of(checkout: Path) -> str:
    own = checkout / ".venv" / "bin" / "python"
    return str(own.absolute()) if own.exists() else sys.executable


@contextmanager
def unpacked(where: str, folders: tuple[str, ...]) -> Iterator[Path]:
    """These folders of a checkout, of an archive (tar), or of a revision of git.

    What is none of them ends the command with 2.
    """
    path = Path(where)
    if path.is_dir():
        yield path
        return
    packed = path.read_bytes() if path.is_file() else archived(where, folders)
    with TemporaryDirectory() as folder:
        try:
            with tarfile.open(fileobj=io.BytesIO(packed)) as files:
                unpack(files, Path(folder))
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError):
            fail(f"{plain(where)} is no archive")
        except OSError as error:
            if error.errno not in OF_THE_ARCHIVE:
                raise
            fail(f"{plain(where)} is no archive")
        yield Path(folder)


def unpack(files: tarfile.TarFile, folder: Path) -> None:
    """The files of an archive, into an empty folder; links and devices are left out.

    `extractall(filter="data")` came with Python 3.11.4. Raises TarError for a file that would lie
    outside; what is damaged raises EOFError, OSError, ValueError, zlib.error or LZMAError as well.
    """
    inside = folder.resolve()
    for member in files:
        path = (inside / member.name).resolve()
        if not path.is_relative_to(inside):
            raise tarfile.TarError(f"{member.name} would lie outside of the folder")
        content = files.extractfile(member) if member.isfile() else None
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(content, file)


def archived(revision: str, folders: tuple[str, ...]) -> bytes:
    """As `git archive` has it; without git, or without the revision, the command ends with 2."""
    command = ["git", "archive", "--format=tar", "--end-of-options", revision, *folders]
    try:
        packed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)  # noqa: S603 - no shell, and no revision is an option
    except FileNotFoundError:
        fail(f"there is no file or folder {plain(revision)!r}, and no git to look for a revision")
    if packed.returncode:
        fail(f"there is no file, checkout or revision {plain(revision)!r}")
    return packed.stdout


def run_on(checkout: Path, module: str, *words: str) -> bytes:
    """What a module of this `saga_cli` prints, run on the other packages of a checkout.

    Raises OtherCodeError with the last line of what it says instead.
    """
    environment = {**os.environ, "PYTHONPATH": str(checkout.absolute())}
    command = [interpreter_of(checkout), "-P", "-c", RUN, str(OWN), module, *words]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603 - no shell: a checkout that the user names
    if ended.returncode:
        last = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise OtherCodeError(plain(" ".join(last)))
    return ended.stdout
