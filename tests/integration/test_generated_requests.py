"""Requests made from each service's own description: valid, invalid and malformed, and none is a 5xx."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import httpx
import pytest

from saga_cli.stack.seed import seed
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME
from tests.support.callers import headers_of

EXAMPLES: Final = 3
"""Drawn at random for each operation, beside what covers each constraint once."""
LEFT_OUT: Final = (
    "positive_data_acceptance",  # what has a valid form may be refused by the rules of a service
    "ensure_resource_availability",  # they follow what other requests made, and none is followed
    "use_after_free",
)

EXAMPLE: Final = "alice"
"""Whom the description of loyalty's routes names; it suspends her."""
OPERATED: Final = {"order", "loyalty"}
"""Operators' routes are the same for all; these two have each kind of store behind them."""


@pytest.fixture
def shop(stack: Services) -> Iterator[Services]:
    """The prices, stock and customers that other tests buy with come back."""
    yield stack
    seed(stack.url)
    standing = f"{stack.url('loyalty')}/customers/{EXAMPLE}/standing"
    httpx.put(standing, json={"suspended": False}).raise_for_status()


def _asked(stack: Services, service: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{stack.url(service)}/openapi.json",
        f"--header=Authorization: {headers_of()['Authorization']}",
        "--phases=examples,coverage,fuzzing",
        f"--max-examples={EXAMPLES}",
        "--seed=1",
        "--no-shrink",
        "--continue-on-failure",
        "--warnings=off",
        f"--exclude-checks={','.join(LEFT_OUT)}",
        "--exclude-operation-id=skip_record",  # others' orders would be stepped over
        *(() if service in OPERATED else ("--exclude-tag=operators",)),
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_whatever_is_asked_is_answered_as_the_document_says(shop: Services, tmp_path: Path) -> None:
    with ThreadPoolExecutor(len(BY_NAME)) as pool:
        runs = {name: pool.submit(_asked, shop, name, tmp_path) for name in BY_NAME}
    for name, run in runs.items():
        ended = run.result()
        print(f"{name}:\n{ended.stdout}")
        assert ended.returncode == 0, f"{name}:\n{ended.stdout}{ended.stderr}"
        assert " generated, " in ended.stdout, ended.stdout
