"""Prometheus' own programs, to check what is written for them: those on PATH, else Debian's packages.

The packages are only unpacked, in a cache; nothing is installed.
"""

import shutil
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Final

import pytest

from saga_cli.stack.binaries import cached
from tests.support.waiting import patient

PACKAGES: Final = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "amtool": "prometheus-alertmanager",
}
DOWNLOAD_S: Final = 120


@cache
def program(name: str) -> str:
    """Where it is. Skips the test on a machine that neither has it nor can have it."""
    if found := shutil.which(name):
        return found
    package = PACKAGES[name]
    try:
        folder = cached(f"debian-{package}", partial(_unpack, package))
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"there is no {name} on PATH, and Debian's {package} can't be had: {error}")
    return str(folder / "usr" / "bin" / name)


def _unpack(package: str, folder: Path) -> None:
    """Raises OSError or SubprocessError where it can't be had."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        _done(["apt-get", "download", package], scratch)
        (archive,) = Path(scratch).glob("*.deb")
        _done(["dpkg", "-x", archive.name, "unpacked"], scratch)
        (Path(scratch) / "unpacked").rename(folder)


def _done(command: list[str], folder: str) -> None:
    subprocess.run(
        command, cwd=folder, capture_output=True, timeout=patient(DOWNLOAD_S), check=True
    )


def run(name: str, *arguments: str, cwd: Path | None = None, given: str = "") -> str:
    """All that it prints. Fails the test where it does not end well."""
    done = subprocess.run(
        [program(name), *arguments],
        cwd=cwd,
        input=given,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
