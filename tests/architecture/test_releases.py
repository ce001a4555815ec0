"""Releases: versions, changelogs and what later releases are held against agree with each other."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from packaging.version import Version

from saga_cli.schema import sources
from saga_cli.topology import SERVICES, ServiceSpec
from scripts.released import NoReleaseError, notes_of
from tests.architecture.test_tidy import ROOT
from tests.contract import golden_log
from tests.support import releases

FIRST: Final = Version("0.1.0")
"""Of its code there is no archive."""
HEADING: Final = re.compile(r"^## (\S+)(?: - \d{4}-\d\d-\d\d)?$", re.MULTILINE)
LAST: Final = Version(releases.newest().name.removesuffix(".tar.xz"))


def sections(changelog: Path) -> list[str]:
    return HEADING.findall(changelog.read_text("utf-8"))


def test_a_release_has_its_code_its_vocabulary_and_a_section() -> None:
    newest, *released = sections(ROOT / "CHANGELOG.md")
    assert newest == "Unreleased"
    versions = [*map(Version, released)]
    assert versions == sorted(versions, reverse=True)
    assert (versions[0], versions[-1]) == (LAST, FIRST)
    assert {Version(path.stem) for path in sources.STORED.glob("*.json")} == {*versions}
    stored = (path.name.removesuffix(".tar.xz") for path in releases.STORED.iterdir())
    assert {*map(Version, stored)} == {*versions} - {FIRST}


def test_a_log_of_the_last_release_is_kept() -> None:
    assert str(LAST) in golden_log.names()


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_what_is_here_is_later_than_the_last_release(spec: ServiceSpec) -> None:
    newest, *released = sections(ROOT / spec.module / "CHANGELOG.md")
    own = Version(spec.version)
    assert newest == "Unreleased" if own.is_prerelease else newest == spec.version
    assert LAST in map(Version, released)
    assert own > LAST
    with (ROOT / "pyproject.toml").open("rb") as file:
        package = Version(tomllib.load(file)["project"]["version"])
    assert package > LAST
    assert own.is_prerelease or package.base_version >= own.base_version


def test_the_notes_of_a_release_are_the_section_of_its_version(tmp_path: Path) -> None:
    folder = tmp_path / "order_svc"
    folder.mkdir()
    text = "## Unreleased\n\n## 1.2.3 - 2027-01-02\n\n- One.\n\n## 1.2.2 - 2027-01-01\n\n- Two.\n"
    (folder / "CHANGELOG.md").write_text(text)
    assert notes_of("order", "1.2.3", tmp_path) == "- One.\n"
    assert notes_of("order", "1.2.2", tmp_path) == "- Two.\n"
    for wrong in ("1.2", "Unreleased"):
        with pytest.raises(NoReleaseError):
            notes_of("order", wrong, tmp_path)
    assert "customer.identified.v1" in notes_of("order", str(LAST))
