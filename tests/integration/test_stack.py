"""The servers that `saga` starts: they stop with their parent, keep apart, and hold services apart."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
import psutil
import pytest
from aiokafka.admin import NewTopic
from redis import Redis

from chassis.kafka import admin_client
from saga_cli.stack import containers, ports, postgres, servers, state
from saga_cli.stack.processes import ChildProcess
from saga_cli.topology import BY_NAME, SERVICES, Addresses
from tests.support.private import open_to_others
from tests.support.servers import private_servers
from tests.support.stack import run
from tests.support.waiting import patient, until

ROOT = Path(__file__).parents[2]
STARTER = """
import sys
from saga_cli.stack import processes, servers
if "no-death-signal" in sys.argv:
    processes.death_signal = lambda: ()
made = servers.start()
print(*[server.pid for server in made.all], made.folder, flush=True)
sys.stdin.read()
"""


HOOKED: Final = """
import os, sys
from pathlib import Path
from saga_cli.stack.processes import ChildProcess
os.register_at_fork(after_in_child=os.abort)
child = ChildProcess("child", [sys.executable, "-c", "print('begun')"], Path(sys.argv[1]))
child.start()
sys.exit(child.await_exit(60))
"""


def test_nothing_that_a_library_does_after_a_fork_ends_a_server_before_it_begins(
    tmp_path: Path,
) -> None:
    """OpenTelemetry's SDK does something then, which now and then aborts beside other threads."""
    log = tmp_path / "child.log"
    started = subprocess.run([sys.executable, "-c", HOOKED, str(log)], cwd=ROOT, check=False)
    assert (started.returncode, log.read_text()) == (0, "begun\n")


@pytest.mark.parametrize("how", ["death-signal", "no-death-signal"])
def test_servers_die_with_their_parent_and_leave_nothing_behind(how: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTER, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert parent.stdout is not None
    *pids, folder = parent.stdout.readline().split()
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(pids) == 3
    assert {int(pid) for pid in pids} < {child.pid for child in children}
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    until(lambda: not any(map(_runs, children)), 20, "the end of all processes")
    until(lambda: not Path(folder).exists(), 20, "the end of their folder")


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_two_stacks_at_once_do_not_meet_and_killed_servers_come_back_with_their_data() -> None:
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(servers.start)
        with private_servers() as other:
            made = starting.result()
            try:
                _remember(made.addresses, "ours")
                _remember(other.addresses, "theirs")
                for server in made.all:
                    server.kill()
                    made.restart(server)
                assert _remembered(made.addresses) == ("ours", "ours", ["ours"])
                assert _remembered(other.addresses) == ("theirs", "theirs", ["theirs"])
            finally:
                made.stop()


def test_a_process_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    process = ChildProcess("sleep", ["sleep", "60"], tmp_path / "log")
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join()
    until(lambda: not Path(f"/proc/self/task/{thread.native_id}").exists(), 20, "the thread's end")
    assert process.is_alive()
    process.kill()


def test_a_data_folder_keeps_its_data_and_has_one_stack_at_a_time() -> None:
    folder = Path(tempfile.mkdtemp(prefix="saga-kept-"))  # pytest's own are closed to others
    try:
        first = servers.start(folder)
        _remember(first.addresses, "kept")
        assert [*open_to_others(folder)] == []
        with pytest.raises(RuntimeError, match="another stack uses"):
            servers.start(folder)
        first.stop()
        second = servers.start(folder)
        try:
            assert _remembered(second.addresses) == ("kept", "kept", ["kept"])
        finally:
            second.stop()
    finally:
        shutil.rmtree(folder)


def _remember(addresses: Addresses, word: str) -> None:
    async def in_postgres_and_kafka() -> None:
        connection = await asyncpg.connect(addresses.owner_url(BY_NAME["order"]))
        await connection.execute(f"CREATE TABLE note AS SELECT '{word}' AS word")
        await connection.close()
        async with admin_client(addresses.kafka) as admin:
            await admin.create_topics([NewTopic(word, 1, 1)])

    asyncio.run(in_postgres_and_kafka())
    with Redis.from_url(addresses.redis_url) as client:
        client.set("note", word)


def _remembered(addresses: Addresses) -> tuple[str, str, list[str]]:
    async def in_postgres_and_kafka() -> tuple[str, list[str]]:
        connection = await asyncpg.connect(addresses.owner_url(BY_NAME["order"]))
        word = await connection.fetchval("SELECT word FROM note")
        await connection.close()
        async with admin_client(addresses.kafka) as admin:
            topics = await admin.list_topics()
        return word, sorted(topics)

    word, topics = asyncio.run(in_postgres_and_kafka())
    with Redis.from_url(addresses.redis_url, decode_responses=True) as client:
        return word, str(client.get("note")), topics


def test_a_port_stays_ours_while_its_server_is_down(tmp_path: Path) -> None:
    port = ports.hold()
    serve = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port.number)]
    server = ChildProcess("web", serve, tmp_path / "log")
    for _ in range(2):
        server.start()
        until(partial(_answers, port.number), 20, "a server")
        server.kill()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port.number))
    port.release()


def test_two_holders_of_a_wanted_port_get_different_ones() -> None:
    first = ports.hold()
    first.release()
    ours, theirs = ports.hold(first.number), ports.hold(first.number)
    assert ours.number == first.number
    assert theirs.number != first.number
    ours.release()
    theirs.release()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


ENGINE = """#!{python}
import os, pathlib, sys
made, words = pathlib.Path({folder!r}), sys.argv[1:]
if words[0] == "run":
    name = f"c{{len(list(made.glob('c*')))}}"
    (made / name).touch()
    print(name)
elif words[0] == "rm":
    [(made / word).unlink() for word in words[3:]]
elif words[0] == "inspect":
    (made / words[-1]).exists() or sys.exit("no such container")
    print("true")
"""
CONTAINER_STARTER = """
import os, signal
from pathlib import Path
from saga_cli.stack.containers import Container
for name in ("kafka", "redis"):
    Container(name, [], Path("log")).start()
print("started", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for a Docker engine: containers are files of a folder."""
    made = tmp_path / "containers"
    made.mkdir()
    program = tmp_path / "docker"
    program.write_text(ENGINE.format(python=sys.executable, folder=str(made)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return made


def test_containers_are_removed_when_their_stack_stops(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers.Servers, "await_answer", lambda *_: None)
    monkeypatch.setattr(postgres, "create_databases", lambda _: None)
    made = containers.start()
    assert len(list(engine.iterdir())) == 3
    assert made.kafka.is_alive()
    made.stop()
    assert not list(engine.iterdir())
    assert not made.kafka.is_alive()
    assert not made.folder.exists()


def test_containers_are_removed_when_their_parent_is_killed(engine: Path) -> None:
    starter = [sys.executable, "-c", CONTAINER_STARTER]
    result = subprocess.run(starter, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.stdout == "started\n", result.stderr
    until(lambda: not list(engine.iterdir()), 20, "the end of all containers")


def test_a_role_cannot_connect_to_another_services_database(addresses: Addresses) -> None:
    async def attempts() -> list[str]:
        allowed = []
        for spec in (spec for spec in SERVICES if spec.has_database):
            own = addresses.database_url(spec)
            for other in ("order_db", "inventory_db", "payment_db", "shipping_db"):
                try:
                    connection = await asyncpg.connect(own.rsplit("/", 1)[0] + f"/{other}")
                except (
                    asyncpg.InsufficientPrivilegeError,  # somebody else's server, of one pg_hba.conf
                    asyncpg.InvalidAuthorizationSpecificationError,
                ):
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
            [*saga, *words], capture_output=True, text=True, timeout=patient(60), check=False, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert result.returncode == 2, result


def test_down_leaves_another_process_with_the_same_pid_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    later = state.running("supervisor", bystander.pid).started_at - 3600
    supervisor = {"name": "supervisor", "pid": bystander.pid, "started_at": later}
    (tmp_path / ".saga").mkdir()
    (tmp_path / state.FILE).write_text(json.dumps({"supervisor": supervisor, "processes": []}))
    assert "No stack" in run(tmp_path, "down").stdout
    assert bystander.poll() is None
    bystander.communicate(b"\n")


def test_servers_that_are_given_by_half_or_do_not_answer_are_one_clear_line(tmp_path: Path) -> None:
    half = run(tmp_path, "up", SAGA_KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert (half.returncode, len(half.stderr.splitlines())) == (2, 1)
    dead = {
        "SAGA_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "SAGA_POSTGRES_URL": "postgresql://saga:secret@127.0.0.1:1/postgres",
        "SAGA_REDIS_URL": "redis://127.0.0.1:1",
    }
    silent = run(tmp_path, "up", **dead)
    assert (silent.returncode, len(silent.stderr.splitlines())) == (1, 1)
