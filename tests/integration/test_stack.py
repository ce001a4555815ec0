"""The servers that `saga` starts: they stop with their parent, keep apart, and hold services apart."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest

from saga_cli.topology import BY_NAME, SERVICES, Addresses

STARTER = """
import sys
from saga_cli.stack import servers
made = servers.start()
print(*[server.pid for server in made.all], made.folder, flush=True)
sys.stdin.read()
"""


def test_servers_die_with_their_parent_and_leave_nothing_behind() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    *pids, folder = parent.stdout.readline().split()
    assert all(psutil.pid_exists(int(pid)) for pid in pids)
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 20
    while any(_runs(int(pid)) for pid in pids) or Path(folder).exists():
        assert time.monotonic() < deadline, "something was left behind"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_role_cannot_connect_to_another_services_database(addresses: Addresses) -> None:
    async def attempts() -> list[str]:
        allowed = []
        for spec in (spec for spec in SERVICES if spec.has_database):
            own = addresses.database_url(spec)
            for other in ("order_db", "inventory_db", "payment_db", "shipping_db"):
                try:
                    connection = await asyncpg.connect(own.rsplit("/", 1)[0] + f"/{other}")
                except asyncpg.InsufficientPrivilegeError:
                    continue
                await connection.close()
                allowed.append(f"{spec.name} {other}")
        return allowed

    expected = [f"{s.name} {s.database}" for s in SERVICES if s.has_database]
    assert asyncio.run(attempts()) == expected


@pytest.mark.parametrize("service", sorted(BY_NAME))
def test_a_missing_setting_is_one_clear_line_and_exit_code_2(service: str) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(service.upper())}
    result = subprocess.run(
        [sys.executable, "-m", f"{service}_svc"],
        capture_output=True,
        text=True,
        env=clean,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert f"{service.upper()}_KAFKA_BOOTSTRAP" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_bad_command_is_exit_code_2(tmp_path: Path) -> None:
    saga = [sys.executable, "-m", "saga_cli.main"]
    for words in (["nonsense"], ["up", "--instances", "0"], ["logs", "order"]):
        result = subprocess.run(
            [*saga, *words], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )  # fmt: skip
        assert result.returncode == 2, result
