"""Services of several releases over one set of servers, replaced one by one while customers come."""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from chaos.customers import CustomerLoad
from saga_cli.stack.services import Instance, Services
from saga_cli.topology import BY_NAME
from tests.support.saga import on_servers
from tests.support.shop import settled
from tests.support.waiting import until

STOP_S: Final = 60
COME_BACK: Final = 20
SEED: Final = 7


@dataclass
class Deployment:
    """`releases` are the variables of each, by its name; `releases[""]` is today's code."""

    services: Services
    releases: Mapping[str, Mapping[str, str]]
    deployed: dict[str, list[tuple[str, Instance]]] = field(default_factory=dict)

    def start(self, release: str, names: Iterable[str] = BY_NAME) -> None:
        """One more process of each of these services, all at once."""
        started = [self._begin(name, release) for name in names]
        self.services.await_ready(started)

    def roll(self, name: str, release: str) -> None:
        """A new process comes up beside those that run, and then takes their place."""
        before = self.deployed[name]
        self.deployed[name] = []
        self.services.await_ready([self._begin(name, release)])
        codes = [instance.process.stop(STOP_S) for _, instance in before]
        assert set(codes) == {0}, f"{name} did not stop well: {codes}"

    def _begin(self, name: str, release: str) -> Instance:
        instance = self.services.start(name, self.releases[release])
        self.deployed.setdefault(name, []).append((release, instance))
        return instance


@dataclass
class UnderLoad:
    """Customers who buy, cancel and ask again by their keys while `steps` are taken."""

    deployment: Deployment
    rate: float = 6.0
    customers: CustomerLoad = field(init=False)

    def __post_init__(self) -> None:
        dice = random.Random(SEED)  # noqa: S311 - who orders what, no secret
        self.customers = CustomerLoad(self.deployment.services, dice, "upgrade")

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
        services, customers = self.deployment.services, self.customers
        report = settled(services, [placed.order_id for placed in customers.placed], 180)
        found = [*report.violations, *customers.surprises]
        found += [f"not settled: {report.states}"] if not report.is_clean else []
        found += [f"{customers.gave_up} customers gave up"] if customers.gave_up else []
        found += [f"500 x {n}" for status, n in customers.tries.items() if status == "500"]
        verified = on_servers(services, "verify")
        return found + ([verified.out + verified.err] if verified.code else [])
