"""What runs, as a table."""

import socket
import time
from datetime import timedelta

import httpx
from rich.table import Table

from saga_cli.state import Running


def table(processes: tuple[Running, ...]) -> Table:
    shown = Table("name", "pid", "address", "ready", "uptime", "log")
    for process in processes:
        ready = "yes" if is_ready(process) else "[red]no[/]"
        uptime = timedelta(seconds=int(time.time() - process.started_at))
        row = (process.name, str(process.pid), process.address, ready, str(uptime), process.log)
        shown.add_row(*row)
    return shown


def is_ready(process: Running) -> bool:
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
