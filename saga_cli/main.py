"""saga up | down | status | logs | demo"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import httpx
import psutil
import typer
from rich.console import Console
from rich.table import Table

from saga_cli import state
from saga_cli.demo import Demo
from saga_cli.seed import seed
from saga_cli.stack import servers as stack_servers
from saga_cli.stack.binaries import MissingProgramError
from saga_cli.stack.provision import provide
from saga_cli.stack.services import Services

app = typer.Typer(
    help="Bring the choreographed checkout up, watch it work, take it down.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
Instances = Annotated[int, typer.Option(min=1, max=12, help="Processes of each service.")]


@app.command()
def up(
    instances: Instances = 1,
    *,
    detach: Annotated[bool, typer.Option(help="Return when all is ready.")] = False,
) -> None:
    """Start Kafka, PostgreSQL, Redis and the five services; Ctrl-C stops them."""
    if state.found():
        _fail("a stack of this folder runs already: see `saga status`, or `saga down`")
    if detach:
        _up_detached(instances)
        return
    with _stack(instances, well_known_ports=True) as (services, servers):
        _write_down(services, servers)
        try:
            console.print(_table(state.found()))
            order = services.url("order")
            console.print(f"\nTry it:\n{_curl(order)}\n\nCtrl-C stops everything.")
            _until_stopped(services)
        finally:
            state.forget()


@app.command()
def down() -> None:
    """Stop what `saga up` started in this folder."""
    stack = state.found()
    if stack is None:
        state.forget()
        console.print("No stack runs in this folder.")
        return
    supervisor = psutil.Process(stack.supervisor)
    supervisor.send_signal(signal.SIGTERM)
    with console.status("stopping"):
        supervisor.wait(60)
    console.print("Stopped; nothing is left behind.")


@app.command()
def status() -> None:
    """Show what runs; exit code 1 unless all of it does."""
    stack = state.found()
    if stack is None:
        console.print("No stack runs in this folder. Start one with `saga up`.")
        raise typer.Exit(1)
    console.print(_table(stack))
    if not all(_is_ready(process) for process in stack.processes):
        raise typer.Exit(1)


@app.command()
def logs(service: Annotated[str, typer.Argument(help="Such as order or kafka.")]) -> None:
    """Print the log of a service or server of the running stack."""
    stack = state.found()
    if stack is None:
        _fail("no stack runs in this folder")
    found = [p for p in stack.processes if p.name == service or p.name.startswith(f"{service}-")]
    if not found:
        names = ", ".join(process.name for process in stack.processes)
        _fail(f"there is no {service!r}; there are {names}")
    for process in found:
        sys.stdout.write(Path(process.log).read_text(errors="replace"))


@app.command()
def demo(instances: Instances = 1) -> None:
    """Send real checkouts, show each saga's timeline, compare the five databases, clean up."""
    with _stack(instances) as (services, _):
        well = Demo(services, console).run()
    if not well:
        raise typer.Exit(1)


@contextmanager
def _stack(
    instances: int, *, well_known_ports: bool = False
) -> Iterator[tuple[Services, stack_servers.Servers]]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    started = time.monotonic()
    try:
        with console.status("starting Kafka, PostgreSQL and Redis"):
            servers = provide()
    except MissingProgramError as error:
        _fail(str(error))
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
    except RuntimeError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    finally:
        services.stop()
        servers.stop()


def _write_down(services: Services, servers: stack_servers.Servers) -> None:
    addresses = servers.addresses
    where = {
        "kafka": addresses.kafka_bootstrap,
        "postgres": addresses.postgres_url.split("@")[-1].split("/")[0],
        "redis": addresses.redis_url.removeprefix("redis://"),
    }
    processes = [state.Running(p.name, p.pid, where[p.name], str(p.log)) for p in servers.all]
    processes += [
        state.Running(i.process.name, i.process.pid, i.url, str(i.process.log))
        for i in services.instances
    ]
    me = psutil.Process().pid
    state.Stack(me, time.time(), addresses.kafka_bootstrap, tuple(processes)).write()


def _up_detached(instances: int) -> None:
    log = state.FILE.parent / "up.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "saga_cli.main", "up", "--instances", str(instances)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with console.status("starting"):
        while (stack := state.found()) is None or stack.supervisor != child.pid:
            if child.poll() is not None:
                sys.stderr.write(log.read_text())
                raise typer.Exit(child.returncode or 1)
            time.sleep(0.1)
    console.print(_table(stack))
    console.print("\n`saga down` stops it.")


def _until_stopped(services: Services) -> None:
    """Say so when a process ends by itself; the others go on."""
    told: set[str] = set()
    while True:
        for instance in services.instances:
            name = instance.process.name
            if not instance.process.is_alive() and name not in told:
                told.add(name)
                code = instance.process.exit_code()
                console.print(f"[red]{name} ended with {code}[/]: {instance.process.log}")
        time.sleep(0.5)


def _table(stack: state.Stack | None) -> Table:
    table = Table("name", "pid", "address", "ready", "log")
    for process in stack.processes if stack else ():
        ready = "yes" if _is_ready(process) else "[red]no[/]"
        table.add_row(process.name, str(process.pid), process.address, ready, process.log)
    return table


def _is_ready(process: state.Running) -> bool:
    if not process.is_alive():
        return False
    if not process.address.startswith("http"):
        return True
    try:
        answer = httpx.get(f"{process.address}/health/ready", timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == httpx.codes.OK


def _curl(url: str) -> str:
    body = (
        '{"customer_id":"alice","lines":[{"sku":"RETRO-CLOCK","quantity":1}],'
        '"payment_token":"tok_visa","country":"DE","postal_code":"10115"}'
    )
    headers = "-H 'Content-Type: application/json' -H 'Prefer: wait=10'"
    return f"  curl -s {headers} \\\n    -d '{body}' \\\n    {url}/checkout"


def _fail(why: str) -> NoReturn:
    sys.stderr.write(f"saga: {why}\n")
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
