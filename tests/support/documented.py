"""The commands that README, CONTRIBUTING and docs/ show: in fenced blocks, and within a line."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = frozenset(
    [
        "saga",
        "make",
        "curl",
        "docker",
        "python",
        "uv",
        "spark-submit",
        "redis-cli",
        "xzcat",
        "psql",
        "sh",
        ".venv/bin/saga",
        ".venv/bin/pytest",
        ".venv/bin/python",
        "alembic",
        "apt-get",
        "bash",
        "git",
        "helm",
        "kafka-topics.sh",
        "kcat",
        "kubectl",
        "node",
        "npm",
        "pip",
        "pytest",
        "ruff",
        "uvx",
    ]
)
"""A command of one that no test knows how to check is refused, wherever it stands."""
_FENCE: Final = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```$", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")


@dataclass(frozen=True, slots=True)
class Documented:
    """A command as a page has it, without its comment."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        words = shlex.split(self.text, comments=True)
        return ["saga", *words[1:]] if words[0].endswith("/saga") else words


def pages() -> list[Path]:
    names = ("README.md", "CONTRIBUTING.md", "bench/peers/README.md")
    return [*(ROOT / name for name in names), *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> dict[str, Documented]:
    """By their text, each once."""
    found: dict[str, Documented] = {}
    for page in pages():
        name, text = str(page.relative_to(ROOT)), page.read_text("utf-8")
        for each in (*_fenced(text), *_inline(text)):
            found.setdefault(each, Documented(name, each))
    return found


def strangers() -> list[str]:
    """Lines of plain blocks that begin with no program that is known here."""
    return [
        line
        for page in pages()
        for block in _blocks(page.read_text("utf-8"))
        if not _is_a_session(block)
        for line in _joined(block)
        if not _is_command(line) and not line.startswith("#")
    ]


def _blocks(text: str) -> Iterator[str]:
    """Those without a language, or of a shell."""
    return (m[2] for m in _FENCE.finditer(text) if m[1] in {"", "sh", "bash", "console"})


def _is_a_session(block: str) -> bool:
    """Output is shown between the commands, which begin with a prompt."""
    return block.lstrip().startswith("$ ")


def _fenced(text: str) -> Iterator[str]:
    for block in _blocks(text):
        if _is_a_session(block):
            lines = [line.strip()[2:] for line in block.splitlines() if line.strip()[:2] == "$ "]
        else:
            lines = list(_joined(block))
        yield from map(_bare, filter(_is_command, lines))


def _inline(text: str) -> Iterator[str]:
    for found in _INLINE.findall(_FENCE.sub("", text)):
        line = " ".join(found.replace("\\|", "|").split())
        if _is_command(line) and len(line.split()) > 1:
            yield _bare(line)


def _joined(block: str) -> Iterator[str]:
    """Lines as a shell takes them: up to the end of what a quote or a backslash goes on with."""
    taken = ""
    for line in block.splitlines():
        taken = f"{taken}\n{line}" if taken else line.strip()
        if taken.endswith("\\") or not _is_closed(taken):
            continue
        if taken:
            yield taken
        taken = ""


def _is_closed(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def _is_command(line: str) -> bool:
    words = [word for word in line.split() if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    return bool(words) and words[0] in PROGRAMS


def _bare(line: str) -> str:
    """Without its comment and its lines."""
    line = re.sub(r"\s\s+#.*|\s+# .*", "", line.replace("\\\n", " "))
    return " ".join(line.split())
