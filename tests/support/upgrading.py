"""Services of several releases over one set of servers, replaced one by one while customers come."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos.customers import LAST_PATIENCE_S, CustomerLoad
from chassis.kafka import admin_client
from saga_cli.stack.services import Instance, Services
from saga_cli.topology import BY_NAME
from tests.support.releases import variables_of
from tests.support.saga import Ended, on_servers, saga, servers_of, token_of
from tests.support.shop import settled
from tests.support.waiting import until

TODAY: Final = Path(__file__).parents[2]
STOP_S: Final = 60
COME_BACK: Final = 20
SEED: Final = 7


@dataclass
class Deployment:
    """`releases` is the code of each by its name, in a folder; `TODAY` is this checkout's.

    Each service has so many `copies`. Of two that make room for others, the first `dies` at once.
    """

    services: Services
    releases: Mapping[str, Path]
    copies: int = 1
    dies: bool = False
    deployed: dict[str, list[tuple[str, Instance]]] = field(default_factory=dict)

    def start(self, release: str, names: Iterable[str] = BY_NAME) -> None:
        """So many more processes of each of these services, all at once."""
        started = [self._begin(name, release) for name in names for _ in range(self.copies)]
        self.services.await_ready(started)

    def roll(self, name: str, release: str) -> None:
        """A new process comes up beside those that run and takes the place of one, until all are replaced."""
        old = [i for of, i in self.deployed[name] if of != release]
        for number, instance in enumerate(old):
            self.services.await_ready([self._begin(name, release)])
            self._end([instance], kill=self.dies and number == 0)

    def keep(self, name: str, release: str) -> None:
        """End the processes of all other releases."""
        self._end([i for of, i in self.deployed[name] if of != release])

    def stop(self, name: str) -> None:
        """End all processes of a service."""
        self._end([i for _, i in self.deployed[name]])

    def _end(self, instances: list[Instance], *, kill: bool = False) -> None:
        """By SIGTERM, which has to end well, or by SIGKILL."""
        for instance in instances:
            name = instance.spec.name
            self.deployed[name] = [(of, i) for of, i in self.deployed[name] if i is not instance]
            if kill:
                instance.process.kill()
                continue
            code = instance.process.stop(STOP_S)
            assert code == 0, f"{instance.process.name} did not stop well: {code}"

    def members(self, name: str) -> int:
        """Of the service's group, as Kafka knows it."""

        async def ask() -> int:
            async with admin_client(self.services.addresses.kafka) as admin:
                (answer,) = await admin.describe_consumer_groups([name])
            (group,) = answer.to_object()["groups"]
            return len(group["members"])

        return asyncio.run(ask())

    def check(self, name: str, old: str, new: str) -> Ended:
        """Whether a service may go from one release to another, as `saga deploy-check` says."""
        where = ("--from", str(self.releases[old]), "--to", str(self.releases[new]))
        urls = {
            f"SAGA_{BY_NAME[each].prefix}_URL": ",".join(i.url for _, i in deployed)
            for each, deployed in self.deployed.items()
        }
        places = {**servers_of(self.services), **urls, "SAGA_OPERATOR_TOKEN": token_of("ada")}
        return saga("deploy-check", name, *where, **places)

    def _begin(self, name: str, release: str) -> Instance:
        code, spec = self.releases[release], BY_NAME[name]
        variables = {} if code == TODAY else variables_of(code)
        if spec.has_database:  # whose schema it may have to change
            owner = self.services.addresses.owner_url(spec)
            variables[f"{spec.prefix}_DATABASE_OWNER_URL"] = owner
        instance = self.services.start(name, variables)
        self.deployed.setdefault(name, []).append((release, instance))
        return instance


@dataclass
class UnderLoad:
    """Customers who buy, cancel and ask again by their keys while `steps` are taken."""

    deployment: Deployment
    rate: float = 6.0
    judge: Path = TODAY
    """Whose code reads the log and the stores at the end: it knows all that was published."""
    customers: CustomerLoad = field(init=False)

    def __post_init__(self) -> None:
        dice = random.Random(SEED)  # noqa: S311 - who orders what, no secret
        self.customers = CustomerLoad(self.deployment.services, dice, "upgrade", LAST_PATIENCE_S)

    def await_more(self, count: int) -> None:
        """Until so many more orders are acknowledged."""
        enough = len(self.customers.placed) + count
        until(lambda: len(self.customers.placed) >= enough, 120, f"{count} more orders")

    async def take(self, steps: Callable[["UnderLoad"], None]) -> None:
        closed = asyncio.Event()
        coming = asyncio.create_task(self.customers.come(self.rate, closed))
        try:
            await asyncio.to_thread(steps, self)
        finally:
            closed.set()
            await coming
        await self.customers.come_back(COME_BACK)

    def violations(self) -> list[str]:
        """Of all guarantees, when all is settled; and what customers were answered that they may not be."""
        customers = self.customers
        found = [*customers.surprises]
        found += [f"{customers.gave_up} customers gave up"] if customers.gave_up else []
        found += [f"500 x {customers.tries['500']}"] if customers.tries["500"] else []
        found += self._disagreements() or self._run("verify")
        return found

    def _disagreements(self) -> list[str]:
        acknowledged = [placed.order_id for placed in self.customers.placed]
        if self.judge != TODAY:
            return self._run("reconcile", "--wait", "180")
        report = settled(self.deployment.services, acknowledged, 180)
        return report.violations or ([] if report.is_clean else [f"not settled: {report.states}"])

    def _run(self, *words: str) -> list[str]:
        """What a command of the judge's code says that does not end well."""
        if self.judge == TODAY:
            here = on_servers(self.deployment.services, *words)
            return [f"{' '.join(words)}: {here.out}{here.err}"] if here.code else []
        places = {**os.environ, **servers_of(self.deployment.services)}
        command = [sys.executable, "-m", "saga_cli.main", *words]
        environment = {**places, **variables_of(self.judge)}
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        return [f"{' '.join(words)}: {ended.stdout}{ended.stderr}"] if ended.returncode else []
