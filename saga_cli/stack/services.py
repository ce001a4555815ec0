"""The services as processes: started, killed, stopped in order, each with its log."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx

from chassis.tls import PLAIN
from saga_cli.stack import ports
from saga_cli.stack.issuer import local_issuer
from saga_cli.stack.processes import ChildProcess
from saga_cli.stack.secured import in_files
from saga_cli.topology import BY_NAME, SERVICES, Addresses, ServiceSpec, environment_of

READY_S: Final = 600
WRONG_SETTING: Final = 2


class SettingError(RuntimeError):
    """A service does not start with the variables that it has."""


@dataclass
class Instance:
    spec: ServiceSpec
    process: ChildProcess
    port: ports.Port

    @property
    def url(self) -> str:
        return url_at(self.port)

    def is_ready(self) -> bool:
        """It can do its durable job, and reads its partitions: orders would wait for it else."""
        if not self.process.is_alive():
            return False
        try:
            is_ok, reasons = health_of(self.url)
        except (httpx.TransportError, ValueError):
            return False
        return is_ok and "consumer_unassigned" not in reasons


def url_at(port: ports.Port) -> str:
    return f"http://127.0.0.1:{port.number}"


def health_of(url: str) -> tuple[bool, list[str]]:
    """Whether a service can do its durable job, and the reasons why not all is well.

    Raises httpx.TransportError, or ValueError where the answer is no JSON.
    """
    answer = httpx.get(f"{url}/health/ready", timeout=5, verify=PLAIN)
    reasons = [x["reason"] for x in answer.json().get("reasons", ())]
    return answer.status_code == httpx.codes.OK, reasons


@dataclass
class Services:
    """All processes of the services over one set of servers.

    Well-known ports are for a person's stack; two runs that start at the same time must not race
    for them. `variables` are those of all of them.
    """

    addresses: Addresses
    logs: Path
    well_known_ports: bool = False
    instances: list[Instance] = field(default_factory=list)
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(
        self, name: str, extra: Mapping[str, str] | None = None, addresses: Addresses | None = None
    ) -> Instance:
        """Start one more process of a service; it may have its own way to the servers."""
        return self.start_one(BY_NAME[name], extra, addresses)

    def start_one(
        self,
        spec: ServiceSpec,
        extra: Mapping[str, str] | None = None,
        addresses: Addresses | None = None,
        at: Callable[[str], Mapping[str, str]] | None = None,
    ) -> Instance:
        """As `start`; `at` makes variables of its own address."""
        name = spec.name
        nth = 1 + sum(instance.spec is spec for instance in self.instances)
        port = ports.hold(spec.port if self.well_known_ports and nth == 1 else 0)
        places = replace(addresses or self.addresses, issuer=local_issuer().url)
        given, more = environment_of(spec, places, port.number), dict(extra or {})
        more |= at(url_at(port)) if at else {}
        if places.secured is not None:
            folder = places.secured / "secrets" / f"{name}-{nth}"
            given, more = in_files(folder, given), in_files(folder, more)
        env = {**given, **self.variables, **more}
        command = [sys.executable, "-m", spec.module]
        process = ChildProcess(f"{name}-{nth}", command, self.logs / f"{name}-{nth}.log", env)
        process.start()
        instance = Instance(spec, process, port)
        self.instances.append(instance)
        return instance

    def start_all(self, instances: int = 1, on_ready: Callable[[str], None] | None = None) -> None:
        """Start every service and wait until all are ready.

        Raises RuntimeError with the end of the log of one that dies, SettingError with its last line.
        """
        for _ in range(instances):
            for spec in SERVICES:
                self.start(spec.name)
        self.await_ready(self.instances, on_ready)

    def await_ready(
        self, instances: Iterable[Instance], on_ready: Callable[[str], None] | None = None
    ) -> None:
        deadline = time.monotonic() + READY_S
        waiting = list(instances)
        while waiting:
            for instance in list(waiting):
                process = instance.process
                if instance.is_ready():
                    waiting.remove(instance)
                    if on_ready:
                        on_ready(process.name)
                elif process.exit_code() == WRONG_SETTING:
                    raise SettingError(process.tail(1))
                elif not process.is_alive() or time.monotonic() > deadline:
                    why = "died" if not process.is_alive() else "is not ready"
                    raise RuntimeError(f"{process.name} {why}; its log ends:\n{process.tail()}")
            time.sleep(0.05)

    def of(self, name: str) -> list[Instance]:
        return [instance for instance in self.instances if instance.spec.name == name]

    def url(self, name: str) -> str:
        """A process of the service that runs."""
        alive = [instance for instance in self.of(name) if instance.process.is_alive()]
        return (alive or self.of(name))[0].url

    def stop(self) -> dict[str, int | None]:
        """Ask all to end, then wait for each; returns exit codes by name."""
        for instance in self.instances:
            instance.process.resume()
            instance.process.signal(instance.process.stop_signal)
        codes = {
            instance.process.name: instance.process.await_exit(25) for instance in self.instances
        }
        for instance in self.instances:
            instance.port.release()
        return codes
