"""Requests made from each service's own description: valid, invalid and malformed, and none is a 5xx."""

import asyncio
import os
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from chaos.fake_stripe import fake_stripe
from chassis.http import HttpServer
from chassis.process.settings import HttpLimits
from saga_cli.stack.seed import seed, set_standing
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME, Addresses
from tests.integration.stripe_fixtures import Desk, desk
from tests.support import signing_hooks
from tests.support.callers import headers_of
from tests.support.documented import ROOT
from tests.support.waiting import patient, until_async

EXAMPLES: Final = 4
"""Drawn at random for each operation, beside what covers each constraint once."""
LEFT_OUT: Final = (
    "positive_data_acceptance",  # what has a valid form may be refused by the rules of a service
)
STEPS: Final = """
[phases.stateful]
max-steps = 6
[phases.stateful.generation]
max-examples = 6
"""
"""Sequences that follow the document's links, and how long each is at most."""

WEBHOOKS: Final = 20
EXAMPLE: Final = "alice"
"""Whom the description of loyalty's routes names; it suspends her."""
OPERATED: Final = {"order", "loyalty"}
"""Operators' routes are the same for all; these two have each kind of store behind them."""


@pytest.fixture
def shop(stack: Services) -> Iterator[Services]:
    """The prices, stock and customers that other tests buy with come back."""
    yield stack
    seed(stack.url)
    with httpx.Client(timeout=30) as client:
        set_standing(client, stack.url, EXAMPLE, suspended=False)


def credentials() -> str:
    """What lets a request in everywhere."""
    return f"--header=Authorization: {headers_of()['Authorization']}"


def command(url: str, folder: Path, *more: str, examples: int = EXAMPLES) -> list[str]:
    (folder / "schemathesis.toml").write_text(STEPS)
    return [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{url}/openapi.json",
        f"--max-examples={examples}",
        "--seed=1",
        "--no-shrink",
        f"--request-timeout={patient(10)}",  # its own is ten seconds, which a checkout may be asked to wait
        "--continue-on-failure",
        "--warnings=off",
        f"--exclude-checks={','.join(LEFT_OUT)}",
        *more,
    ]


def _asked(stack: Services, service: str, folder: Path) -> subprocess.CompletedProcess[str]:
    asked = command(
        stack.url(service),
        folder,
        credentials(),
        "--phases=examples,coverage,fuzzing,stateful",
        "--exclude-operation-id=skip_record",  # others' orders would be stepped over
        *(() if service in OPERATED else ("--exclude-tag=operators",)),
    )
    return subprocess.run(asked, capture_output=True, text=True, cwd=folder, check=False)


def test_whatever_is_asked_is_answered_as_the_document_says(shop: Services, tmp_path: Path) -> None:
    with ThreadPoolExecutor(len(BY_NAME)) as pool:
        runs = {name: pool.submit(_asked, shop, name, tmp_path) for name in BY_NAME}
    for name, run in runs.items():
        ended = run.result()
        print(f"{name}:\n{ended.stdout}")
        assert ended.returncode == 0, f"{name}:\n{ended.stdout}{ended.stderr}"
        assert " generated, " in ended.stdout, ended.stdout


@asynccontextmanager
async def served(payment: Desk) -> AsyncIterator[str]:
    """The process in hand, over HTTP."""
    stopping = asyncio.Event()
    server = HttpServer(payment.app, "payment", HttpLimits(), 5.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve_until(stopping, [listener]))
        try:
            await until_async(lambda: server.started, 20, "the server")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopping.set()
            await task


@pytest.mark.parametrize("hooks", ["", signing_hooks.__name__], ids=["unsigned", "signed"])
async def test_stripes_webhook_is_answered_as_the_document_says(
    addresses: Addresses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hooks: str
) -> None:
    with fake_stripe() as fake:
        async with desk(addresses, fake, monkeypatch) as payment, served(payment) as url:
            asked = command(url, tmp_path, "--include-path=/webhooks/stripe", examples=WEBHOOKS)
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            environment |= {"SCHEMATHESIS_HOOKS": hooks} if hooks else {}
            process = await asyncio.create_subprocess_exec(
                *asked, cwd=tmp_path, env=environment, stdout=PIPE, stderr=STDOUT
            )
            output, _ = await process.communicate()
    print(output.decode())
    assert process.returncode == 0, output.decode()
    assert b" generated, " in output
