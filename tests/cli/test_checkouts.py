"""Other code that is read from an archive: what is in it lands in its folder, and nowhere else."""

import bz2
import errno
import gzip
import io
import lzma
import shutil
import tarfile
from pathlib import Path

import pytest
import typer

from saga_cli.checkouts import unpack, unpacked


def packed(*members: tarfile.TarInfo) -> bytes:
    """An archive in which each file holds its own name."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as files:
        for member in members:
            content = member.name.encode() if member.isfile() else b""
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    return made.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def unpack_into(folder: Path, archive: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        unpack(files, folder)


def test_files_are_where_the_archive_has_them(tmp_path: Path) -> None:
    unpack_into(tmp_path, packed(tarfile.TarInfo("a.py"), tarfile.TarInfo("deep/er/b.py")))
    assert (tmp_path / "a.py").read_text() == "a.py"
    assert (tmp_path / "deep" / "er" / "b.py").read_text() == "deep/er/b.py"


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/out", "../into-it"])
def test_a_file_that_would_lie_outside_is_refused(name: str, tmp_path: Path) -> None:
    """`../into-it` is a folder whose name begins as the other one's does."""
    (folder := tmp_path / "into").mkdir()
    absolute = f"{tmp_path}{name}" if name == "/out" else name
    with pytest.raises(tarfile.TarError, match="outside"):
        unpack_into(folder, packed(tarfile.TarInfo(absolute)))
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_no_link_leads_outside(kind: bytes, tmp_path: Path) -> None:
    (folder := tmp_path / "into").mkdir()
    (outside := tmp_path / "outside").mkdir()
    archive = packed(link("way", str(outside), kind), tarfile.TarInfo("way/file"))
    unpack_into(folder, archive)
    assert list(outside.iterdir()) == []
    assert (folder / "way" / "file").read_text() == "way/file"


GOOD = packed(*(tarfile.TarInfo(f"{number}.py") for number in range(200)))
DAMAGED = {
    "no archive": b"[project]",
    "empty": b"",
    "gzip, cut off": gzip.compress(GOOD)[:-200],
    "gzip, spoilt": gzip.compress(GOOD)[:300] + b"\xff" * 300 + gzip.compress(GOOD)[600:],
    "xz, cut off": lzma.compress(GOOD)[:-100],
    "xz, spoilt": lzma.compress(GOOD)[:200] + bytes(50) + lzma.compress(GOOD)[250:],
    "bzip2, spoilt": bz2.compress(GOOD)[:200] + b"\xff" * 50 + bz2.compress(GOOD)[250:],
    "outside": packed(tarfile.TarInfo("../out")),
    "a name with a NUL": packed(tarfile.TarInfo("a" * 120 + "\0b")),
    "a name that is too long": packed(tarfile.TarInfo("a" * 300)),
    "a file under a file": packed(tarfile.TarInfo("a"), tarfile.TarInfo("a/b")),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_what_can_not_be_unpacked_is_one_line_and_exit_code_2(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "archive").write_bytes(DAMAGED[what])
    with pytest.raises(typer.Exit) as ended, unpacked(str(file), ("chassis",)):
        pass
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err.endswith(f"{file} is no archive\n")


def test_a_full_disk_is_no_fault_of_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands say it in one line as they say every error of the system."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (file := tmp_path / "archive").write_bytes(GOOD)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"), unpacked(str(file), ("chassis",)):
        pass
