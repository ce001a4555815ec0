"""saga: the stack, its orders, and the proof that it keeps them: `saga --help` lists the commands."""

import secrets
import signal
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

import psutil
import typer

from saga_cli.access import command as access
from saga_cli.archive import command as archiving
from saga_cli.deploy.command import deploy_check
from saga_cli.erasure import command as erasing
from saga_cli.history import command as history
from saga_cli.k8s import command as k8s
from saga_cli.lint.command import lint
from saga_cli.observed import command as observed
from saga_cli.ops import console as of_console
from saga_cli.ops import dead_letters, outbox
from saga_cli.ops import orders as of_one_order
from saga_cli.ops.audit import audit
from saga_cli.ops.options import AsJson
from saga_cli.replay import command as replaying
from saga_cli.republish import command as republishing
from saga_cli.schema import command as schema
from saga_cli.stack import command as mounting
from saga_cli.stack import logs as of_logs
from saga_cli.stack import state
from saga_cli.stack.overview import is_ready, table
from saga_cli.terminal import OneLine, console, fail
from saga_cli.verify import command as verifying

app = typer.Typer(
    cls=OneLine, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
STOP_S, RESTART_S = 60, 120
Instances = Annotated[int, typer.Option(min=1, max=12, help="Processes of each service.")]
STACK: Final = "A stack on this machine"
ORDERS: Final = "Orders, and what keeps them from going on"
LOG: Final = "The log and the databases"
PROOF: Final = "Proof and measurement"
EXIT_CODES: Final = {
    0: "done",
    1: "it can't be done now, or what was looked at is not as it should be",
    2: "usage error: an invalid argument, option, variable, address or token; or a server that the"
    " command reads does not answer",
    130: "ended by Ctrl-C",
}


def _version(*, asked: bool) -> None:
    if asked:
        sys.stdout.write(f"saga {version('choreographed-checkout')}\n")
        raise typer.Exit


@app.callback(epilog=f"Exit codes: {'. '.join(f'{n} {why}' for n, why in EXIT_CODES.items())}.")
def main(
    *,
    _is_asked: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the release."),
    ] = False,
) -> None:
    """Bring the choreographed checkout up, watch it work, take it down."""


@app.command(rich_help_panel=STACK)
def up(
    instances: Instances = 1,
    data: Annotated[Path | None, typer.Option(help="Keep the servers' data here.")] = None,
    *,
    secure: mounting.Secure = False,
    with_tracing: mounting.WithTracing = False,
    otlp_endpoint: mounting.OtlpEndpoint = "",
    without_console: mounting.WithoutConsole = False,
    detach: mounting.Detach = False,
) -> None:
    """Start Kafka, PostgreSQL, Redis, all services and the operators' console; Ctrl-C stops them.

    A process that ends by itself is not started again: `saga status` shows it, `saga start` starts it.
    """
    from saga_cli.stack import supervisor, viewer  # noqa: PLC0415 - with all that a stack needs it is slow

    if state.found():
        fail(state.CLAIMED)
    place = state.FILE.parent.absolute()
    traces = viewer.traces_to(otlp_endpoint, place) if with_tracing or otlp_endpoint else None
    if detach:
        more = ["--with-tracing", "--otlp-endpoint", otlp_endpoint] if traces else []
        more += ["--without-console"] if without_console else []
        supervisor.up_detached(instances, data, secured=secure, more=more)
    else:
        supervisor.up(instances, data, traces, secured=secure, with_pages=not without_console)


@app.command(rich_help_panel=STACK)
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
    console.print("Stopped; nothing is left running.")


@app.command(rich_help_panel=STACK)
def status() -> None:
    """Show what runs; exit code 1 unless all of it does."""
    stack = state.found()
    if stack is None:
        console.print("No stack runs in this folder.\nStart one with `saga up`.")
        raise typer.Exit(1)
    if not stack.processes:
        console.print("The stack is starting.")
        raise typer.Exit(1)
    console.print(table(stack.processes))
    folder = Path(stack.processes[0].log).parent
    console.print(f"Logs: `saga logs NAME`, or {folder}", soft_wrap=True)
    if not all(is_ready(process) for process in stack.processes):
        raise typer.Exit(1)


@app.command(rich_help_panel=STACK)
def token(
    subject: Annotated[str, typer.Argument(help="Who calls: a customer's id, or any other name.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="orders, shop, operate, audit, service; or several.")
    ] = None,
    lifetime: Annotated[
        int, typer.Option(min=1, max=86_400, help="Seconds until it expires.")
    ] = 3600,
) -> None:
    """Print an access token of the running stack's own issuer; without --scope it is a customer's."""
    from saga_cli.ops.tokens import show  # noqa: PLC0415 - with what it needs it is slow

    show(subject, scope or ["orders"], lifetime)


app.command(rich_help_panel=STACK)(mounting.secrets)
app.command(rich_help_panel=STACK)(of_logs.logs)


Name = Annotated[str, typer.Argument(help="Such as payment, payment-2 or kafka.")]


@app.command(rich_help_panel=STACK)
def stop(name: Name) -> None:
    """Stop a service or server of the running stack; the others go on."""
    _ask("stop", name)


@app.command(rich_help_panel=STACK)
def start(name: Name) -> None:
    """Start a service or server of the running stack that was stopped, or has ended."""
    _ask("start", name)


@app.command(rich_help_panel=STACK)
def restart(name: Name) -> None:
    """Stop a service or server of the running stack, if it runs, and start it again as it was."""
    _ask("restart", name)


def _ask(action: state.StackAction, name: str) -> None:
    """Have the stack's supervisor do it, and wait until it is done."""
    before = {process.name: process for process in of_logs.processes(name)}
    state.request(action, before)
    deadline = time.monotonic() + RESTART_S
    with console.status(f"{action}: {', '.join(before)}"):
        while True:
            stack = state.found()
            now = {p.name: p for p in stack.processes if p.name in before} if stack else {}
            if now and all(_is_done(action, before[n], now[n]) for n in before):
                break
            failed = any(now[n].ended and now[n].pid != before[n].pid for n in now)
            if not now or (failed and action != "stop") or time.monotonic() > deadline:
                what = "did not stop" if action == "stop" else "is not ready"
                fail(f"{name} {what}: see `saga logs {name}`", 1)
            time.sleep(0.2)
    console.print(f"{', '.join(before)} {'stopped' if action == 'stop' else 'ready'}")


def _is_done(action: state.StackAction, before: state.Running, now: state.Running) -> bool:
    if action == "stop":
        return not now.is_alive()
    is_new = now.pid != before.pid or (action == "start" and before.is_alive())
    return is_new and is_ready(now)


PanelCommands = tuple[Callable[..., None], ...]
OF_ORDERS: Final[PanelCommands] = (
    *(of_one_order.why, history.timeline, history.events, of_console.orders, of_console.top),
    *(of_one_order.resolve, of_one_order.expedite, audit),
)
OF_LOG: Final[PanelCommands] = (
    *(verifying.reconcile, verifying.verify, replaying.replay, republishing.republish),
    *(erasing.erase, erasing.erasures, observed.flow, observed.variants, observed.export),
    *(archiving.archive, archiving.report, archiving.retention),
)
for panel, commands in ((ORDERS, OF_ORDERS), (LOG, OF_LOG), (PROOF, (lint, deploy_check))):
    for command in commands:
        app.command(rich_help_panel=panel)(command)
GROUPS: Final = (
    *((of_console.failures, "failures"), (dead_letters.app, "dead-letters")),
    (outbox.app, "outbox"),
)
for of_orders, name in GROUPS:
    app.add_typer(of_orders, name=name, rich_help_panel=ORDERS)
for of_log, name in ((schema.app, "schema"), (of_console.app, "console"), (k8s.app, "k8s")):
    app.add_typer(of_log, name=name, rich_help_panel=LOG)


topics_app = typer.Typer(cls=OneLine, invoke_without_command=True)


@topics_app.callback()
def topics(
    context: typer.Context,
    *,
    drained: Annotated[
        bool, typer.Option("--drained", help="Exit 1 while a topic of an earlier layout is in use.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show each topic, what its readers have not read, and what the outboxes hold for it.

    A topic of an earlier layout is drained once all of it is read, and no outbox holds a row for it.
    """
    if context.invoked_subcommand is None:
        from saga_cli.ops.topics import show  # noqa: PLC0415 - with all services it is slow

        show(drained=drained, as_json=as_json)


topics_app.command()(access.apply)
app.add_typer(topics_app, name="topics", rich_help_panel=LOG)
app.command(rich_help_panel=LOG)(access.acl)


@app.command(rich_help_panel=PROOF)
def demo(
    instances: Instances = 1,
    *,
    secure: Annotated[
        bool, typer.Option("--secure/--plain", help="With TLS, logins and rights, or without.")
    ] = True,
) -> None:
    """Send real checkouts, show each saga's timeline, compare all databases, clean up."""
    from saga_cli.demo import Demo  # noqa: PLC0415
    from saga_cli.stack import supervisor  # noqa: PLC0415 - slow, see above

    with supervisor.running(instances, secured=secure) as (services, _):
        well = Demo(services).run()
    if not well:
        raise typer.Exit(1)


@app.command(rich_help_panel=PROOF)
def chaos(
    seed: Annotated[int | None, typer.Option(min=0, help="Repeat the plan of this seed.")] = None,
    seconds: Annotated[float, typer.Option(min=20, max=3600, help="How long faults go on.")] = 300,
    rate: Annotated[float, typer.Option(min=1, max=200, help="Checkouts a second.")] = 20,
    logs: Annotated[Path | None, typer.Option(help="Copy all logs here at the end.")] = None,
) -> None:
    """Run the system on real servers under faults, let it settle, compare all databases and topics."""
    from chaos import command  # noqa: PLC0415 - slow, see above
    from chaos.trial import TrialOptions  # noqa: PLC0415

    number = secrets.randbelow(10**6) if seed is None else seed
    command.chaos(TrialOptions(number, seconds, rate, logs))


Scenarios = Annotated[
    list[str] | None, typer.Argument(help="Such as capacity or overload; without one, a few.")
]
Rate = Annotated[float | None, typer.Option(min=1, help="Orders a second to take as the capacity.")]
SecondsOption = Annotated[float | None, typer.Option(min=1, help="Of each measurement.")]
OrdersOption = Annotated[int | None, typer.Option(min=1, help="Of each burst.")]
Backlog = Annotated[int | None, typer.Option(min=1, help="Orders to drain.")]
Sizes = Annotated[str, typer.Option(help="Orders of growth, such as 0,1000000.")]
Quick = Annotated[bool, typer.Option("--quick", help="Only show that it works.")]


@app.command(rich_help_panel=PROOF)
def bench(  # noqa: PLR0913 - each is an option
    scenarios: Scenarios = None,
    rate: Rate = None,
    seconds: SecondsOption = None,
    orders: OrdersOption = None,
    backlog: Backlog = None,
    sizes: Sizes = "",
    json: Annotated[Path | None, typer.Option(help="Write all that was found here.")] = None,
    *,
    quick: Quick = False,
) -> None:
    """Measure the system on real servers: capacity, latency, cost, recovery, overload and more.

    Scenarios: capacity, latency, cost, in-flight, hot, recovery, overload, drain, curve, growth,
    fast-paths, secured, failover, false-alarms.
    Without a name: capacity, latency, cost, recovery, overload and secured, some 14 minutes.
    """
    try:
        from bench import command  # noqa: PLC0415 - slow, see above
    except ModuleNotFoundError as error:
        fail(f"the bench needs the extras `bench` and `servers`: {error}")
    figures = {"rate": rate, "seconds": seconds, "orders": orders, "backlog": backlog}
    command.bench(scenarios or [], figures, sizes, json, quick=quick)


def _simulation() -> ModuleType:
    try:
        from saga_cli import simulate as simulation  # noqa: PLC0415 - with all services it is slow
    except ModuleNotFoundError as error:
        fail(f"the simulation needs all services and the extra `simulation`: {error}")
    return simulation


@app.command(rich_help_panel=PROOF)
def simulate(  # noqa: PLR0913 - each is an option
    orders: Annotated[int, typer.Option(min=1, help="Orders in all.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The first seed; each run has the next.")] = 1,
    per_run: Annotated[int, typer.Option(min=1, max=5000, help="Orders of one run.")] = 250,
    faults: Annotated[
        str, typer.Option(help="Kinds to draw from, by commas; `all`, or `none`.")
    ] = "all",
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0 for one a core.")] = 0,
    plan: Annotated[str, typer.Option(help="Run this one plan, as a failure printed it.")] = "",
    log: Annotated[Path | None, typer.Option(help="Write the log of the plan here.")] = None,
    *,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what production logs.")] = False,
) -> None:
    """Run the production code on simulated servers under faults, from seeds; exit 1 on a violation."""
    simulation = _simulation()
    if plan:
        simulation.repeat(plan, log, verbose=verbose)
    else:
        wanted = simulation.SimulationOptions(
            orders, seed, per_run, simulation.kinds_of(faults), jobs
        )
        simulation.simulate(wanted)


@app.command(rich_help_panel=PROOF)
def mutants(
    seeds: Annotated[int, typer.Option(min=1, help="Tries for each.")] = 20,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0 for one a core.")] = 0,
    only: Annotated[str, typer.Option(help="Names, by commas.")] = "",
    *,
    real: Annotated[
        bool, typer.Option("--real", help="Bugs in the real stores, found by their own tests.")
    ] = False,
) -> None:
    """Run the simulation with each deliberate bug; exit 1 if a bug's expected violation is not found."""
    simulation = _simulation()
    if real:
        from saga_cli import real_mutants  # noqa: PLC0415 - it starts servers

        real_mutants.hunt(real_mutants.edits_of(only))
        return
    simulation.hunt(simulation.mutants_of(only), seeds, jobs)


if __name__ == "__main__":
    app()
