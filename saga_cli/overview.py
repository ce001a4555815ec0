"""What runs, as a table."""

import socket
import time
from datetime import timedelta
from typing import Final

import httpx
from rich.table import Table

from saga_cli.state import Running

NO: Final = "[red]no[/]"


def table(processes: tuple[Running, ...]) -> Table:
    shown = Table("name", "pid", "address", "ready", "uptime", "log")
    for process in processes:
        ready = readiness(process)
        uptime = timedelta(seconds=int(time.time() - process.started_at))
        row = (process.name, str(process.pid), process.address, ready, str(uptime), process.log)
        shown.add_row(*row)
    return shown


def readiness(process: Running) -> str:
    """Whether it is ready, and the reasons where a service is not wholly so."""
    if not process.is_alive():
        return NO
    try:
        if process.address.startswith("http"):
            answer = httpx.get(f"{process.address}/health/ready", timeout=5)
            reasons = ", ".join(x["reason"] for x in answer.json().get("reasons", ()))
            if answer.status_code != httpx.codes.OK:
                return f"{NO} {reasons}".rstrip()
            return f"[yellow]degraded[/] {reasons}" if reasons else "yes"
        host, port = process.address.rsplit(":", 1)
        socket.create_connection((host, int(port)), timeout=2).close()
    except (OSError, ValueError, httpx.TransportError):
        return NO
    return "yes"


def is_ready(process: Running) -> bool:
    """It can do its durable job, and reads its partitions, whatever else fails."""
    told = readiness(process)
    return not told.startswith(NO) and "consumer_unassigned" not in told
