"""saga up | down | status | logs | restart | demo | why | resolve | expedite | dead-letters"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import httpx
import psutil
import typer
from rich.table import Table

from saga_cli import letters, operate, state
from saga_cli.demo import Demo
from saga_cli.seed import seed
from saga_cli.stack import servers as stack_servers
from saga_cli.stack.binaries import MissingProgramError
from saga_cli.stack.provision import MissingAddressError, provide
from saga_cli.stack.services import Services
from saga_cli.terminal import OneLine, console, fail

app = typer.Typer(
    cls=OneLine,
    help="Bring the choreographed checkout up, watch it work, take it down.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(operate.why)
app.command()(operate.resolve)
app.command()(operate.expedite)
app.add_typer(letters.app, name="dead-letters")
STOP_S: Final = 60
RESTART_S: Final = 120
CLAIMED: Final = "a stack of this folder runs already: see `saga status`, or `saga down`"
Instances = Annotated[int, typer.Option(min=1, max=12, help="Processes of each service.")]


@app.command()
def up(
    instances: Instances = 1,
    data: Annotated[Path | None, typer.Option(help="Keep the servers' data here.")] = None,
    *,
    detach: Annotated[
        bool, typer.Option("--detach/--foreground", help="Return when all is ready.")
    ] = False,
) -> None:
    """Start Kafka, PostgreSQL, Redis and the five services; Ctrl-C stops them."""
    if state.found():
        fail(CLAIMED)
    if detach:
        _up_detached(instances, data)
        return
    try:
        with (
            state.claimed(),
            _stack(instances, data, well_known_ports=True) as (services, servers),
        ):
            processes = _write_down(services, servers)
            console.print(_table(processes))
            console.print("\nTry it:")
            console.print(_curl(services.url("order")), soft_wrap=True)
            console.print("\nCtrl-C stops everything.")
            _until_stopped(services, servers)
    except state.ClaimedError:
        fail(CLAIMED)


@app.command()
def down() -> None:
    """Stop what `saga up` started in this folder."""
    stack = state.found()
    if stack is None:
        state.forget()
        console.print("No stack runs in this folder.")
        return
    supervisor = psutil.Process(stack.supervisor.pid)
    supervisor.send_signal(signal.SIGTERM)
    with console.status("stopping"):
        try:
            supervisor.wait(STOP_S)
        except psutil.TimeoutExpired:
            supervisor.kill()  # what it started goes with it
    console.print("Stopped; nothing is left behind.")


@app.command()
def status() -> None:
    """Show what runs; exit code 1 unless all of it does."""
    stack = state.found()
    if stack is None:
        console.print("No stack runs in this folder.\nStart one with `saga up`.")
        raise typer.Exit(1)
    if not stack.processes:
        console.print("The stack is starting.")
        raise typer.Exit(1)
    console.print(_table(stack.processes))
    if not all(_is_ready(process) for process in stack.processes):
        raise typer.Exit(1)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="Such as order or kafka.")],
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Print the log of a service or server of the running stack."""
    found = _processes(service)
    if follow:
        subprocess.run(["tail", "-n", "50", "-F", *(p.log for p in found)], check=False)
        return
    for process in found:
        sys.stdout.write(Path(process.log).read_text(errors="replace"))


@app.command()
def restart(
    name: Annotated[str, typer.Argument(help="Such as payment or kafka.")],
) -> None:
    """Stop a service or server of the running stack, if it runs, and start it again as it was."""
    before = {process.name: process for process in _processes(name)}
    state.ask_for_restart(before)
    deadline = time.monotonic() + RESTART_S
    with console.status(f"restarting {', '.join(before)}"):
        while True:
            stack = state.found()
            now = {p.name: p for p in stack.processes if p.name in before} if stack else {}
            if now and all(now[n] != before[n] and _is_ready(now[n]) for n in before):
                break
            if stack is None or time.monotonic() > deadline:
                fail(f"{name} is not ready again: see `saga logs {name}`", 1)
            time.sleep(0.2)
    console.print(f"{', '.join(before)} ready")


@app.command()
def demo(instances: Instances = 1) -> None:
    """Send real checkouts, show each saga's timeline, compare the five databases, clean up."""
    with _stack(instances) as (services, _):
        well = Demo(services, console).run()
    if not well:
        raise typer.Exit(1)


def _processes(name: str) -> list[state.Running]:
    """Those of a service or server of the running stack."""
    stack = state.found()
    if stack is None:
        fail("no stack runs in this folder")
    found = [p for p in stack.processes if p.name == name or p.name.startswith(f"{name}-")]
    if not found:
        names = ", ".join(process.name for process in stack.processes)
        fail(f"there is no {name!r}; there are {names}")
    return found


@contextmanager
def _stack(
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
    state.Stack(supervisor, processes, addresses.operator_token).write()
    return processes


def _up_detached(instances: int, data: Path | None) -> None:
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
    console.print(_table(stack.processes))
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


def _table(processes: tuple[state.Running, ...]) -> Table:
    table = Table("name", "pid", "address", "ready", "uptime", "log")
    for process in processes:
        ready = "yes" if _is_ready(process) else "[red]no[/]"
        uptime = timedelta(seconds=int(time.time() - process.started_at))
        row = (process.name, str(process.pid), process.address, ready, str(uptime), process.log)
        table.add_row(*row)
    return table


def _is_ready(process: state.Running) -> bool:
    if not process.is_alive():
        return False
    try:
        if process.address.startswith("http"):
            answer = httpx.get(f"{process.address}/health/ready", timeout=5)
            return answer.status_code == httpx.codes.OK
        host, port = process.address.rsplit(":", 1)
        socket.create_connection((host, int(port)), timeout=2).close()
    except (OSError, httpx.TransportError):
        return False
    return True


def _curl(url: str) -> str:
    body = (
        '{"customer_id":"alice","lines":[{"sku":"RETRO-CLOCK","quantity":1}],'
        '"payment_token":"tok_visa","country":"DE","postal_code":"10115"}'
    )
    headers = "-H 'Content-Type: application/json' -H 'Prefer: wait=10'"
    return f"  curl -s {headers} \\\n    -d '{body}' \\\n    {url}/checkout"


if __name__ == "__main__":
    app()
