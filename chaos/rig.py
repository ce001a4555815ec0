"""The system under test: three brokers, PostgreSQL, Redis, a card provider, two processes of each service.

Every process reaches every server over a link of its own (a Proxy). The brokers reach each other
through a switch, where this machine allows one.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from chaos import switch as switches
from chaos.fake_stripe import API_KEY, SECRET, FakeStripe, fake_stripe
from chaos.proxy import Proxy
from chaos.switch import Switch
from chassis.kafka import Cluster, admin_client
from saga_cli.log.reader import LANES
from saga_cli.stack import kafka, ports, servers
from saga_cli.stack.seed import seed
from saga_cli.stack.services import Instance, Services
from saga_cli.topology import BY_NAME, SERVICES, Addresses, place_of

BROKERS: Final = ("kafka-1", "kafka-2", "kafka-3")
NAMES: Final = tuple(f"{spec.name}-{number}" for number in (1, 2) for spec in SERVICES)
SMALL: Final = ("-Xms128m", "-Xmx256m", *kafka.QUIET)
RESTART_S: Final = 1.0
PROVIDER_TIMEOUT_S: Final = 5
PROVIDER_FAILS: Final = 0.05


def service_of(name: str) -> str:
    return name.rpartition("-")[0]


def servers_of(name: str) -> tuple[str, ...]:
    """The servers, other than Kafka's brokers, that a process of a service talks to."""
    spec = BY_NAME[service_of(name)]
    wanted = {
        "postgres": spec.has_database,
        "redis": spec.redis_database is not None,
        "provider": spec.name == "payment",
    }
    return tuple(server for server, is_so in wanted.items() if is_so)


@dataclass
class ChaosRig:
    servers: servers.Servers
    services: Services
    links: dict[tuple[str, str], Proxy]
    provider: FakeStripe
    switch: Switch | None
    why_no_switch: str = ""
    kept_down: set[str] = field(default_factory=set)
    killed: set[str] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)

    def instance(self, name: str) -> Instance:
        return next(i for i in self.services.instances if i.process.name == name)

    def links_of(self, names: Iterable[str], wanted: Iterable[str]) -> list[Proxy]:
        """`kafka` stands for all brokers."""
        ends = {end for name in wanted for end in (BROKERS if name == "kafka" else (name,))}
        return [proxy for (name, end), proxy in self.links.items() if name in names and end in ends]

    def kill(self, name: str) -> None:
        self.killed.add(name)
        self.instance(name).process.kill()

    async def keep_up(self) -> None:
        """Start again whatever process of a service ends, for as long as this is awaited."""
        while True:
            for instance in self.services.instances:
                process = instance.process
                if process.is_alive() or process.name in self.kept_down:
                    continue
                if process.name not in self.killed:
                    self.ended.append(f"{process.name} with {process.exit_code()}")
                self.killed.discard(process.name)
                await asyncio.to_thread(process.start)
            await asyncio.sleep(RESTART_S)

    async def is_replicated(self) -> bool:
        """Every copy of every partition is in sync."""
        async with admin_client(self.servers.addresses.kafka, 3) as admin:
            described = await admin.describe_topics(list(LANES))
        partitions = [p for topic in described for p in topic["partitions"]]
        return all(len(p["isr"]) == len(p["replicas"]) == len(BROKERS) for p in partitions)


@asynccontextmanager
async def running(rng: random.Random, fast_paths: Mapping[str, str]) -> AsyncIterator[ChaosRig]:
    """All of it started, seeded and ready; stopped and removed at the end.

    `fast_paths` has the setting X_FAST_PATHS of each service.
    """
    async with AsyncExitStack() as held:
        folder = held.enter_context(servers.private_folder())
        built = switches.build(len(BROKERS), folder)
        switch, why_not = (None, built) if isinstance(built, str) else (built, "")
        if switch:
            held.callback(switch.close)
        brokers, links = _brokers(held, switch)
        made = await asyncio.to_thread(servers.start, None, brokers)
        held.callback(made.stop)
        provider = held.enter_context(
            fake_stripe(hang_s=PROVIDER_TIMEOUT_S + 1.0, chaos=rng, chaos_rate=PROVIDER_FAILS)
        )
        links |= _links(made.addresses, provider.url)
        for proxy in links.values():
            await proxy.accept()
            held.push_async_callback(proxy.close)
        services = Services(made.addresses, made.folder)
        held.push_async_callback(asyncio.to_thread, services.stop)  # the links go on meanwhile
        rig = ChaosRig(made, services, links, provider, switch, why_not)
        await asyncio.to_thread(_start_services, rig, fast_paths)
        yield rig


def _brokers(
    held: AsyncExitStack, switch: Switch | None
) -> tuple[list[kafka.KafkaBroker], dict[tuple[str, str], Proxy]]:
    """Each process has a listener of its own at each broker, advertised as its own link."""

    def port() -> int:
        taken = ports.hold()
        held.callback(taken.release)
        return taken.number

    brokers: list[kafka.KafkaBroker] = []
    links: dict[tuple[str, str], Proxy] = {}
    for number, broker in enumerate(BROKERS, 1):
        host = switch.address(number) if switch else "127.0.0.1"
        doors = []
        for name in NAMES:
            link = links[name, broker] = Proxy((host, port()))
            listener = name.replace("-", "_").upper()
            doors.append(kafka.Door(listener, link.upstream[1], link.address))
        within = switch.within(number) if switch else ()
        brokers.append(kafka.KafkaBroker(broker, port(), port(), host, doors, within, SMALL))
    return brokers, links


def _links(addresses: Addresses, provider_url: str) -> dict[tuple[str, str], Proxy]:
    places = {
        "postgres": urlsplit(addresses.postgres_url),
        "redis": urlsplit(addresses.redis_url),
        "provider": urlsplit(provider_url),
    }
    return {
        (name, server): Proxy((places[server].hostname or "", places[server].port or 0))
        for name in NAMES
        for server in servers_of(name)
    }


def _start_services(rig: ChaosRig, fast_paths: Mapping[str, str]) -> None:
    for name in NAMES:
        service = service_of(name)
        settings = {f"{service.upper()}_FAST_PATHS": fast_paths[service], **_provider_at(rig, name)}
        instance = rig.services.start(service, settings, _via(rig, name))
        assert instance.process.name == name
    rig.services.await_ready(rig.services.instances)
    seed(rig.services.url)
    payments = rig.services.of("payment")
    rig.provider.webhooks = [f"{instance.url}/webhooks/stripe" for instance in payments]


def _via(rig: ChaosRig, name: str) -> Addresses:
    """The servers' addresses as this process sees them."""
    direct = rig.servers.addresses

    def moved(url: str, server: str) -> str:
        link = rig.links.get((name, server))
        return url.replace(place_of(url), link.address) if link else url

    return replace(
        direct,
        kafka=Cluster(",".join(rig.links[name, broker].address for broker in BROKERS)),
        postgres_url=moved(direct.postgres_url, "postgres"),
        redis_url=moved(direct.redis_url, "redis"),
    )


def _provider_at(rig: ChaosRig, name: str) -> dict[str, str]:
    if "provider" not in servers_of(name):
        return {}
    return {
        "PAYMENT_PROVIDER": "stripe",
        "PAYMENT_PROVIDER_TIMEOUT_S": str(PROVIDER_TIMEOUT_S),
        "PAYMENT_PROVIDER_CONCURRENCY": "5",
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_API_BASE": f"http://{rig.links[name, 'provider'].address}",
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }
