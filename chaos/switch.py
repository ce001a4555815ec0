"""A real network for the brokers: a namespace for each, and a switch whose cables can be pulled.

Namespaces last as long as the processes in them, so all of it goes away with this process. Clients
reach the brokers from this machine's own namespace, through a cable that is never pulled.
"""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from saga_cli.stack.processes import ChildProcess, run

NETWORK: Final = IPv4Address("198.18.0.0")  # /15, set apart for trials of networks (RFC 2544)
SIZE: Final = 16  # addresses of one switch: a /28
START_S: Final = 10


@dataclass(frozen=True, slots=True)
class Switch:
    """Port n leads to the namespace of number n, counted from 1."""

    hub: ChildProcess
    ends: Sequence[ChildProcess]
    first: IPv4Address

    def address(self, number: int) -> str:
        return str(self.first + 1 + number)

    def within(self, number: int) -> list[str]:
        """What a command is put after to run in this namespace."""
        return _within(self.ends[number - 1])

    def pull(self, number: int) -> None:
        run([*_within(self.hub), "ip", "link", "set", f"port{number}", "down"])

    def plug(self, number: int) -> None:
        run([*_within(self.hub), "ip", "link", "set", f"port{number}", "up"])

    def close(self) -> None:
        for process in (*self.ends, self.hub):
            process.kill()


def build(count: int, folder: Path) -> Switch | str:
    """A string says why this user or this system can't have one."""
    try:
        return _built(count, folder)
    except RuntimeError as error:
        return " ".join(str(error).split())


def _built(count: int, folder: Path) -> Switch:
    missing = [name for name in ("ip", "nsenter", "unshare") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        raise RuntimeError(f"{', '.join(missing)} missing" if missing else "not root")
    run(["unshare", "--net", "true"])  # root of a container may not
    hub, *ends = (_namespace(f"namespace-{n}", folder) for n in range(count + 1))
    switch = Switch(hub, ends, NETWORK + SIZE * (os.getpid() % 8192))
    try:
        _wire(switch)
    except RuntimeError:
        switch.close()
        raise
    return switch


def _wire(switch: Switch) -> None:
    hub, uplink = switch.hub, f"chaos{os.getpid() % 10**8}"
    inside = _within(hub)
    run([*inside, "ip", "link", "add", "switch", "type", "bridge"])
    run([*inside, "ip", "link", "set", "switch", "up"])
    _cable(["ip", "link", "add", uplink], "uplink", hub)
    _address([], uplink, switch.address(0))
    run([*inside, "ip", "link", "set", "uplink", "master", "switch", "up"])
    for number, end in enumerate(switch.ends, 1):
        _cable([*inside, "ip", "link", "add", f"port{number}"], "eth0", end)
        run([*inside, "ip", "link", "set", f"port{number}", "master", "switch", "up"])
        _address(_within(end), "eth0", switch.address(number))
        run([*_within(end), "ip", "link", "set", "lo", "up"])


def _cable(add: Sequence[str], peer: str, into: ChildProcess) -> None:
    run([*add, "type", "veth", "peer", "name", peer, "netns", str(into.pid)])


def _address(within: Sequence[str], device: str, address: str) -> None:
    run([*within, "ip", "address", "add", f"{address}/28", "dev", device])
    run([*within, "ip", "link", "set", device, "up"])


def _within(process: ChildProcess) -> list[str]:
    return ["nsenter", f"--net=/proc/{process.pid}/ns/net"]


def _namespace(name: str, folder: Path) -> ChildProcess:
    process = ChildProcess(name, ["unshare", "--net", "sleep", "infinity"], folder / f"{name}.log")
    process.start()
    own, deadline = Path("/proc/self/ns/net").readlink(), time.monotonic() + START_S
    while Path(f"/proc/{process.pid}/ns/net").readlink() == own:
        if not process.is_alive() or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(process.tail() or "no namespace was made")
        time.sleep(0.01)
    return process
