"""Runs a stack: the servers and the services, watched until they are told to stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import typer

from saga_cli import state
from saga_cli.overview import table
from saga_cli.seed import seed
from saga_cli.stack import servers as stack_servers
from saga_cli.stack.binaries import MissingProgramError
from saga_cli.stack.provision import MissingAddressError, provide
from saga_cli.stack.services import Services
from saga_cli.terminal import console, fail

CLAIMED: Final = "a stack of this folder runs already: see `saga status`, or `saga down`"


def up(instances: int, data: Path | None) -> None:
    try:
        with (
            state.claimed(),
            running(instances, data, well_known_ports=True) as (services, servers),
        ):
            processes = _write_down(services, servers)
            console.print(table(processes))
            console.print("\nTry it:")
            console.print(_curl(services.url("order")), soft_wrap=True)
            console.print("\nCtrl-C stops everything.")
            _until_stopped(services, servers)
    except state.ClaimedError:
        fail(CLAIMED)


def up_detached(instances: int, data: Path | None) -> None:
    log = state.FILE.parent / "up.log"
    log.parent.mkdir(exist_ok=True)
    place = ["--data", str(data)] if data else []
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "saga_cli.main", "up", "--instances", str(instances), *place],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        with console.status("starting"):
            stack = _await_detached(child, log)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    console.print(table(stack.processes))
    console.print("\n`saga down` stops it.")


def _await_detached(child: subprocess.Popen[bytes], log: Path) -> state.Stack:
    while True:
        stack = state.found()
        if stack and stack.supervisor.pid == child.pid and stack.processes:
            return stack
        if child.poll() is not None:
            sys.stderr.write(log.read_text())
            raise typer.Exit(child.returncode or 1)
        time.sleep(0.1)


@contextmanager
def running(
    instances: int, data: Path | None = None, *, well_known_ports: bool = False
) -> Iterator[tuple[Services, stack_servers.Servers]]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    started = time.monotonic()
    try:
        with console.status("starting Kafka, PostgreSQL and Redis"):
            servers = provide(data)
    except (MissingProgramError, MissingAddressError) as error:
        fail(str(error))
    except RuntimeError as error:
        fail(str(error), code=1)
    services = Services(servers.addresses, servers.folder, well_known_ports)
    try:
        console.print(f"  servers ready after {time.monotonic() - started:.1f} s")
        with console.status("starting the services"):
            services.start_all(instances, lambda name: console.print(f"  {name} ready"))
        seed(services.url("order"), services.url("inventory"), services.url("loyalty"))
        console.print(f"  all ready after {time.monotonic() - started:.1f} s")
        yield services, servers
    except KeyboardInterrupt:
        console.print("stopping")
    except (RuntimeError, httpx.HTTPError) as error:
        fail(str(error) or repr(error), code=1)
    finally:
        services.stop()
        servers.stop()


def _write_down(services: Services, servers: stack_servers.Servers) -> tuple[state.Running, ...]:
    addresses = servers.addresses
    where = {
        "kafka": addresses.kafka_bootstrap,
        "postgres": urlsplit(addresses.postgres_url).netloc.rpartition("@")[2],
        "redis": urlsplit(addresses.redis_url).netloc,
    }
    made = [(server, where[server.name]) for server in servers.all]
    made += [(instance.process, instance.url) for instance in services.instances]
    processes = tuple(state.running(p.name, p.pid, place, str(p.log)) for p, place in made)
    supervisor = state.running("supervisor", os.getpid())
    urls = (addresses.kafka_bootstrap, addresses.postgres_url, addresses.redis_url)
    state.Stack(supervisor, processes, addresses.operator_token, urls).write()
    return processes


def _until_stopped(services: Services, servers: stack_servers.Servers) -> None:
    """Say so when a process ends by itself; the others go on. Restart what is asked for."""
    told: set[int] = set()
    while True:
        for instance in services.instances:
            process = instance.process
            if not process.is_alive() and process.pid not in told:
                told.add(process.pid)
                console.print(
                    f"[red]{process.name} ended with {process.exit_code()}[/]: {process.log}"
                )
        if names := state.asked_for_restart():
            _restart(services, servers, names)
        time.sleep(0.5)


def _restart(services: Services, servers: stack_servers.Servers, names: set[str]) -> None:
    for process in (instance.process for instance in services.instances):
        if process.name in names:
            process.stop()
            process.start()
    for server in servers.all:
        if server.name in names:
            server.stop()
            servers.restart(server)
    _write_down(services, servers)
    console.print(f"restarted {', '.join(sorted(names))}")


def _curl(url: str) -> str:
    body = (
        '{"customer_id":"alice","lines":[{"sku":"RETRO-CLOCK","quantity":1}],'
        '"payment_token":"tok_visa","country":"DE","postal_code":"10115"}'
    )
    headers = "-H 'Content-Type: application/json' -H 'Prefer: wait=10'"
    return f"  curl -s {headers} \\\n    -d '{body}' \\\n    {url}/checkout"
