"""Runs a stack: the servers and the services, watched until they are told to stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NoReturn

import httpx
import typer

from saga_cli.stack import state, viewer, with_console
from saga_cli.stack.issuer import local_issuer
from saga_cli.stack.overview import table
from saga_cli.stack.processes import ChildProcess
from saga_cli.stack.provision import provide
from saga_cli.stack.seed import seed
from saga_cli.stack.servers import Servers
from saga_cli.stack.services import Services, SettingError
from saga_cli.stack.signing_in import PEOPLE
from saga_cli.terminal import console, fail, message_of
from saga_cli.topology import place_of

PROGRAM: Final = ".venv/bin/saga"
WITH_EXAMPLE: Final = {"ORDER_EXAMPLE_PAGE": "true"}
"""A person's own stack serves the page that follows an order."""


def up(
    instances: int,
    data: Path | None,
    traces: viewer.Traces | None = None,
    *,
    secured: bool,
    with_pages: bool = True,
) -> None:
    """`with_pages` has the operators' console started too."""
    how: dict[str, Any] = {"secured": secured, "traces": traces, "with_pages": with_pages}
    with (
        state.claimed(),
        running(instances, data, **how, well_known_ports=True) as (services, servers),
    ):
        supervisor = Supervisor(services, servers, traces)
        _welcome(supervisor.write(), "Ctrl-C stops everything.")
        with suppress(KeyboardInterrupt):
            supervisor.run()
        console.print("stopping")


def up_detached(
    instances: int, data: Path | None, *, secured: bool, more: Sequence[str] = ()
) -> None:
    """`more` are options of `saga up`."""
    log = state.FILE.parent / "up.log"
    state.make_private(log.parent)
    how = ["--data", str(data)] if data else []
    how += ["--secure"] if secured else []
    how += more
    with state.open_private(log, "wb") as output:
        child = subprocess.Popen(  # noqa: S603 - no shell: this `saga`
            [sys.executable, "-m", "saga_cli.main", "up", "--instances", str(instances), *how],
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
    _welcome(stack, "`saga down` stops everything.")


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
    instances: int,
    data: Path | None = None,
    *,
    secured: bool = False,
    traces: viewer.Traces | None = None,
    well_known_ports: bool = False,
    with_pages: bool = False,
) -> Iterator[tuple[Services, Servers]]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    started = time.monotonic()
    with ExitStack() as held:
        try:
            with console.status("starting Kafka, PostgreSQL and Redis"):
                servers = provide(data, secured=secured)
            held.callback(servers.stop)
            if secured:
                print_security(servers)
            if traces:
                traces.start(held)
            services = Services(
                servers.addresses,
                servers.folder,
                well_known_ports,
                variables={
                    **(traces.variables if traces else {}),
                    **(WITH_EXAMPLE if well_known_ports else {}),
                },
            )
            held.callback(services.stop)
            console.print(f"  servers ready after {time.monotonic() - started:.1f} s")
            with console.status("starting the services"):
                services.start_all(instances, lambda name: console.print(f"  {name} ready"))
            seed(services.url)
            if with_pages:
                _start_console(services, traces.page if traces else "")
            console.print(f"  all ready after {time.monotonic() - started:.1f} s")
            yield services, servers
        except (RuntimeError, httpx.HTTPError) as error:
            why = message_of(error) if isinstance(error, httpx.HTTPError) else str(error)
            fail(why, 2 if isinstance(error, SettingError) else 1)


def _start_console(services: Services, trace_page: str) -> None:
    if with_console.is_installed():
        with console.status("starting the console"):
            with_console.start(services, trace_page)
        console.print("  console ready")
    else:
        console.print("  without the console: it needs the extra `console`")


def print_security(servers: Servers) -> None:
    """What is secured, and what is not."""
    console.print(
        "  Kafka: SASL_SSL (SCRAM) and ACLs; PostgreSQL: TLS and scram-sha-256", soft_wrap=True
    )
    is_plain = servers.addresses.redis_url.startswith("redis:")
    why = "without TLS, as no server with it was found" if is_plain else "and TLS"
    console.print(f"  Redis: a user for each service, {why}", soft_wrap=True)


@dataclass
class Supervisor:
    """Writes down what runs, and does what other shells ask for. What ends by itself stays down."""

    services: Services
    servers: Servers
    traces: viewer.Traces | None = None
    known: dict[str, state.Running] = field(default_factory=dict)

    @property
    def trace_page(self) -> str:
        return self.traces.page if self.traces else ""

    def run(self) -> NoReturn:
        while True:
            action, names = state.requested()
            for process, _ in self._processes():
                if process.name in names:
                    self._do(action, process)
            if action or self._seen_to_end():
                self.write()
            time.sleep(0.5)

    def write(self) -> state.Stack:
        for process, address in self._processes():
            known = self.known.get(process.name)
            if process.is_alive() and (known is None or known.pid != process.pid):
                started = state.running(process.name, process.pid, address, str(process.log))
                self.known[process.name] = started
            elif known and not known.ended and not process.is_alive():
                code = process.exit_code()
                self.known[process.name] = replace(known, ended=f"ended with {code}")
        addresses, me = self.servers.addresses, state.running("supervisor", os.getpid())
        servers = (addresses.kafka.bootstrap, addresses.postgres_url, addresses.redis_url)
        processes = tuple(self.known.values())
        issuer = local_issuer()
        of_issuer = (issuer.url, issuer.secret)
        more = (self.trace_page, issuer.sign_in.password)
        stack = state.Stack(me, processes, *of_issuer, servers, addresses.secured, *more)
        stack.write()
        return stack

    def _processes(self) -> Iterator[tuple[ChildProcess, str]]:
        """Each with its address."""
        addresses = self.servers.addresses
        stores = map(place_of, (addresses.postgres_url, addresses.redis_url))
        places = (addresses.kafka.bootstrap, *stores)
        yield from zip(self.servers.all, places, strict=False)  # there are none that are given
        yield from ((instance.process, instance.url) for instance in self.services.instances)
        if self.traces and self.traces.process:
            yield self.traces.process, f"127.0.0.1:{viewer.PORT}"

    def _seen_to_end(self) -> bool:
        """Say so when a service ends by itself; the others go on."""
        seen = [
            instance.process
            for instance in self.services.instances
            if not instance.process.is_alive() and not self.known[instance.process.name].ended
        ]
        for process in seen:
            again = f"`saga start {process.name}` starts it again"
            console.print(f"[red]{process.name} ended with {process.exit_code()}[/]; {again}")
            console.print(f"  its log: {process.log}", soft_wrap=True)
        return bool(seen)

    def _do(self, action: str, process: ChildProcess) -> None:
        if action in {"stop", "restart"} and process.is_alive():
            process.stop()
            self.known[process.name] = replace(self.known[process.name], ended="stopped")
        if action in {"start", "restart"} and not process.is_alive():
            try:
                if process in self.servers.all:
                    self.servers.restart(process)
                else:
                    process.start()
            except RuntimeError as error:  # its log says why: the stack goes on
                console.print(str(error), markup=False, soft_wrap=True)
                return
        console.print(f"{action}: {process.name}")


def _welcome(stack: state.Stack, end: str) -> None:
    """What a newcomer needs: where all is, a first order, and how to go on."""
    processes = stack.processes
    order = next(p.address for p in processes if p.name.startswith("order-"))
    saga = PROGRAM if Path(PROGRAM).exists() else "saga"
    console.print(table(processes))
    console.print(f"\nAn order, step by step, in a browser: {order}/example", soft_wrap=True)
    console.print(f"\nTry it:\n{_curl(order, saga)}", markup=False, soft_wrap=True)
    if address := next((p.address for p in processes if p.name.startswith("console-")), ""):
        people = ", ".join(f"{each.name} ({each.role})" for each in PEOPLE)
        console.print(
            f"\nThe operators' page: {address}\n"
            f"One signs in there as {people}; the password: {stack.password}",
            markup=False,
            soft_wrap=True,
        )
    if stack.trace_page:
        shown = viewer.link(stack.trace_page, "TRACE")
        console.print(
            f"\nTraces: {shown}; `{saga} timeline ORDER --trace` prints an order's.",
            markup=False,
            soft_wrap=True,
        )
    console.print(
        f"\nThen `{saga} why ORDER` and `{saga} timeline ORDER`; `{saga} --help` lists the others."
        f"\nAny other caller: `{saga} token NAME --scope orders`. Operators' commands find {state.FILE}."
        "\nA process that ends is not started again by itself: `saga status` shows it,"
        f"\nand `saga start NAME` starts it. {end}",
        soft_wrap=True,
    )


def _curl(url: str, saga: str) -> str:
    body = (
        '{"lines":[{"sku":"RETRO-CLOCK","quantity":1}],'
        '"payment_token":"tok_visa","country":"DE","postal_code":"10115"}'
    )
    token = f'-H "Authorization: Bearer $({saga} token alice)"'
    headers = f"{token} \\\n    -H 'Content-Type: application/json' -H 'Prefer: wait=10'"
    return f"  curl -s {headers} \\\n    -d '{body}' \\\n    {url}/checkout"
