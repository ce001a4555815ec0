"""What runs, as a table."""

import socket
import time
from datetime import timedelta
from typing import Final

import httpx
from rich.table import Table

from saga_cli.stack.services import health_of
from saga_cli.stack.state import Running
from saga_cli.terminal import table_of

NO: Final = "[red]no[/]"


def table(processes: tuple[Running, ...]) -> Table:
    shown = table_of(
        "name", "pid", "address", "ready", "uptime", unbroken={"name", "pid", "address"}
    )
    for process in processes:
        uptime, alive = "-", process.is_alive()
        if alive:
            uptime = str(timedelta(seconds=int(time.time() - process.started_at)))
        pid = str(process.pid) if alive else "-"
        shown.add_row(process.name, pid, process.address, readiness(process), uptime)
    return shown


def readiness(process: Running) -> str:
    """Whether it is ready, and the reasons where a service is not wholly so."""
    if not process.is_alive():
        return f"[red]{process.ended or 'dead'}[/]"
    try:
        if process.address.startswith("http"):
            is_ok, found = health_of(process.address)
            reasons = ", ".join(found)
            if not is_ok:
                return f"{NO} {reasons}".rstrip()
            return f"[yellow]degraded[/] {reasons}" if reasons else "yes"
        host, port = process.address.rsplit(":", 1)
        socket.create_connection((host, int(port)), timeout=2).close()
    except (OSError, ValueError, httpx.TransportError):
        return NO
    return "yes"


def is_ready(process: Running) -> bool:
    """It can do its durable job, and reads its partitions, whatever else fails."""
    state = readiness(process)
    return process.is_alive() and not state.startswith(NO) and "consumer_unassigned" not in state
