"""`saga secrets`: what is there stays, what is missing or in its last days is made."""

import os
import stat
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509

from saga_cli import targets
from saga_cli.stack import mounted
from saga_cli.stack.authority import Authority
from saga_cli.topology import ADMIN
from tests.secured_compose_page import SECURED
from tests.support.saga import saga

CERTIFICATES: Final = [f"tls/{name}.*" for name in ("kafka", "postgres", "redis")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "of" / "mine"
    mounted.make(made)
    return made


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    return {
        name: (file.stat().st_ino, file.read_bytes())
        for name, file in found.items()
        if not name.startswith("tools/")  # no container has them
    }


def test_a_second_time_nothing_changes(folder: Path) -> None:
    before = files(folder)
    assert saga("secrets", str(folder)).out.startswith("Nothing has to be made")
    assert files(folder) == before


def test_what_is_missing_is_made_as_it_was(folder: Path) -> None:
    before = {name: text for name, (_, text) in files(folder).items()}
    for name in ("redis.acl", "kafka-order.password", mounted.KAFKA_SETTINGS):
        (folder / name).unlink()
    made = saga("secrets", str(folder))
    assert made.out.splitlines()[-1].startswith("3 made; ")
    assert {name: text for name, (_, text) in files(folder).items()} == before


@pytest.mark.parametrize(("left", "changed"), [(29, ["tls/kafka.*"]), (31, [])])
def test_a_certificate_in_its_last_days_is_issued_anew(
    folder: Path, left: int, changed: list[str]
) -> None:
    authority = Authority.at(folder / "tls")
    authority.issue("broker", ["kafka"], timedelta(days=left), file="kafka")
    assert mounted.make(folder) == changed


def test_all_are_issued_anew_when_asked_and_nothing_else_is_touched(folder: Path) -> None:
    before = files(folder)
    assert saga("secrets", str(folder), "--renew").code == 0
    after = files(folder)
    different = {name for name in before if before[name] != after[name]}
    assert different == {
        f"tls/{name}.{kind}"
        for name in ("kafka", "postgres", "redis")
        for kind in ("crt", "key", "pem")
    }


def test_a_certificate_of_another_authority_is_replaced(folder: Path, tmp_path: Path) -> None:
    other = Authority.at(tmp_path / "other").issue("redis", ["redis"])
    for kind, file in (("crt", other.cert_file), ("key", other.key_file), ("pem", other.both)):
        (folder / "tls" / f"redis.{kind}").unlink()
        (folder / "tls" / f"redis.{kind}").write_bytes(file.read_bytes())
    assert mounted.make(folder) == ["tls/redis.*"]
    assert stat.S_IMODE((folder / "tls" / "redis.key").stat().st_mode) == mounted.READABLE


def test_a_certificate_is_for_the_name_within_and_for_this_machine(folder: Path) -> None:
    for name in mounted.SERVERS:
        read = x509.load_pem_x509_certificate((folder / "tls" / f"{name}.crt").read_bytes())
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert {name, "localhost"} <= set(names.get_values_for_type(x509.DNSName))
        assert "127.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))


def test_commands_are_let_in_by_the_file_for_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an administrator, and as the services where a command takes their place."""
    for name, text in variables(folder).items():
        monkeypatch.setenv(name, text)
    found = targets.found()
    assert found.addresses is not None
    assert (found.kafka.bootstrap, found.kafka.user) == (mounted.PUBLISHED.kafka, ADMIN)
    own = {n: (folder / f).read_text() for n, f in mounted.PASSWORDS.items()}
    assert found.addresses.passwords.items() >= own.items()
    text = (folder / mounted.TOOLS).read_text()
    assert not [secret for secret in found.addresses.passwords.values() if secret in text]
    assert (folder / mounted.ADMIN_PASSWORD).read_text() not in text


def variables(folder: Path) -> dict[str, str]:
    """As a shell exports what it reads from the file."""
    script = f"set -a; . {folder / mounted.TOOLS}; set +a; env -0"
    read = subprocess.run(
        ["sh", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, check=True
    )
    given = dict(each.split("=", 1) for each in read.stdout.decode().split("\0") if each)
    return {name: text for name, text in given.items() if name.startswith("SAGA_")}


def passwords(folder: Path) -> dict[str, str]:
    return {login: (folder / file).read_text() for login, file in mounted.PASSWORDS.items()}


def followed(folder: Path, secret: str) -> dict[str, str]:
    """The same logins, with what follows from PostgreSQL's administrator's password or a secret beside it."""
    admin = (folder / mounted.ADMIN_PASSWORD).read_text()
    found = mounted.WITHIN.addresses(admin, mounted.MOUNTED, secret).passwords
    return {login: found[login] for login in mounted.PASSWORDS}


def test_no_password_follows_from_one_that_a_container_has(folder: Path) -> None:
    made, without = passwords(folder), followed(folder, "")
    assert not set(made.values()) & set(without.values())
    assert made == followed(folder, (folder / mounted.SECRET).read_text())
    assert stat.S_IMODE((folder / mounted.SECRET).stat().st_mode) == 0o600
    assert mounted.SECRET not in SECURED.read_text()


def test_a_folder_from_before_goes_on_with_its_passwords(tmp_path: Path) -> None:
    """Servers have them in their data."""
    (tmp_path / mounted.ADMIN_PASSWORD).write_text("of the release before")
    mounted.make(tmp_path)
    assert passwords(tmp_path) == followed(tmp_path, "")
    assert mounted.make(tmp_path) == []


def test_a_folder_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = saga("secrets", str(tmp_path / "file"))
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert refused.err.startswith(f"saga: {tmp_path / 'file'}: ")
