"""docs/production.md: a command stands behind each line of the checklist, and each disaster has a way out.

That commands, options and files are there is tested where all documented ones are.
"""

import re
from typing import Final

import pytest

from tests.architecture.test_tidy import ROOT
from tests.support.documented import PROGRAMS

PAGE: Final = (ROOT / "docs" / "production.md").read_text("utf-8")
COMMAND: Final = re.compile(rf"`(?:{'|'.join(map(re.escape, sorted(PROGRAMS)))}) [^`]+`")
RUNBOOK: Final = re.compile(r"\]\((?:runbook|replay)\.md#|\| below \|")


def rows(section: str) -> list[str]:
    """Of the table in a section, without its head."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return [line for line in text.splitlines() if line.startswith("| ")][1:]


def bullets(section: str) -> list[str]:
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return re.split(r"^- ", text, flags=re.MULTILINE)[1:]


def test_a_command_stands_behind_each_line() -> None:
    lines = [*rows("Before the first order"), *bullets("Each day")]
    assert len(lines) > 10
    assert [line for line in lines if not COMMAND.search(line)] == []


@pytest.mark.parametrize(
    "section", ["Capacity", "Backups, and a restore drill", "Upgrade and roll-back"]
)
def test_what_is_done_at_times_is_a_block_of_commands(section: str) -> None:
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert {line.split()[0] for line in block.splitlines()} <= PROGRAMS


def test_each_disaster_says_what_to_do_or_that_nothing_is() -> None:
    lines = rows("Disasters")
    assert len(lines) >= 8
    for line in lines:
        done = line.split(" | ")[2]
        assert (
            RUNBOOK.search(line) or COMMAND.search(done) or done.startswith(("nothing", "bring"))
        ), line


def test_a_drill_leaves_the_live_service_as_it_is() -> None:
    """Without `--copy` a rebuild takes over the positions of the group."""
    drill = PAGE.partition("## Backups")[2].partition("\n## ")[0]
    (replayed,) = re.findall(r"^saga replay .*$", drill, re.MULTILINE)
    assert replayed.endswith(" --copy")
