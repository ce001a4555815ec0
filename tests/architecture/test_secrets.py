"""No file of the repository holds a secret, by detect-secrets.

Tokens and keys of a known form are looked for everywhere. Passwords in URLs, and texts that look
random, only outside of the tests, whose servers live as long as a test. What is assigned to a name
such as `password` is looked for in settings; in Python, ruff does that.
"""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

from tests.architecture.test_tidy import ROOT

FORMS: Final = (
    *("AWSKeyDetector", "AzureStorageKeyDetector", "GitHubTokenDetector", "GitLabTokenDetector"),
    *("JwtTokenDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector"),
    *("PypiTokenDetector", "SlackDetector", "StripeDetector"),
)
RANDOM: Final = ("BasicAuthDetector", "Base64HighEntropyString", "HexHighEntropyString")
NOT_READ: Final = (
    ".png",
    ".xz",
    "uv.lock",
    "docs/performance/results.json",
    "simulation/cells.json",
)
"""Pictures, compressed logs, hashes and figures: made by programs, of nothing that is secret."""
PLACEHOLDERS: Final = frozenset({"password", "PASSWORD", "secret", "..."})


def kept_files() -> list[str]:
    """What git keeps, or would."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    there = (name for name in found.stdout.splitlines() if (ROOT / name).is_file())
    return [name for name in there if not name.endswith(NOT_READ)]


def detectors(name: str) -> tuple[str, ...]:
    if name.startswith("tests/"):
        return FORMS
    if name.endswith((".py", ".md")):
        return (*FORMS, *RANDOM)
    return (*FORMS, *RANDOM, "KeywordDetector")


def secrets_in(folder: Path, names: Iterable[str]) -> Iterator[str]:
    by_kind: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        by_kind.setdefault(detectors(name), []).append(name)
    for kind, files in by_kind.items():
        plugins = [{"name": plugin} for plugin in kind]
        with transient_settings({"plugins_used": plugins, "filters_used": []}):
            found = SecretsCollection(root=str(folder))
            for name in files:
                found.scan_file(name)
            for name, secret in found:
                if not is_placeholder(secret.secret_value or ""):
                    yield f"{name}:{secret.line_number}: {secret.type}"


def is_placeholder(text: str) -> bool:
    """A word that stands for a secret, or an expression that is one when the program runs."""
    return text in PLACEHOLDERS or text.startswith(("{", "$"))


@pytest.mark.long(6)
def test_no_file_holds_a_secret() -> None:
    assert list(secrets_in(ROOT, kept_files())) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tests/a.py", "KEY = 'AKIA" + "Z" * 16 + "'"),
        ("tests/a.pem", "-----BEGIN " + "PRIVATE KEY-----"),
        ("tests/a.md", "sk_" + "live_" + "a1B2" * 6),
        ("saga_cli/a.py", "URL = 'postgresql://saga:" + "hunter2@db/x'"),
        ("deploy/a.yaml", "password: " + "'hunter22hunter'"),
        ("chassis/a.py", "SALT = '" + "d41d8cd98f00b204e9800998ecf8427e'"),
    ],
)
def test_a_planted_secret_is_found(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(f"{text}\n")
    assert len(list(secrets_in(tmp_path, [name]))) == 1
