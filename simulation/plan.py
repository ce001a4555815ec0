"""What a run is: everything that happens in it follows from a Plan."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, Literal, Self

from pydantic import TypeAdapter
from pydantic_core import to_json

from chassis.process.settings import FastPath

LATER: Final = {
    "hostile": "a record that no owner of its topic would write, made of true ones",
    "clock-wrong": "a process's clock is minutes off",
    "read-only": "a database takes no writes for a while, as after a fail-over",
    "row-refused": "Kafka refuses an order's rows for good, until an operator has that mended",
    "topic-shut": "Kafka takes nothing for one topic for a while, as after a change of rights",
    "copied": "a true record in another partition, or again under an id that is not its own",
    "broker-busy": "one of several brokers serves readers late: some partitions lag by seconds",
    "provider-slow": "calls to providers take seconds",
}
"""Kinds that came later are drawn apart, so that a seed's other faults stay what they were."""
FIRST: Final = {
    "duplicate": "a record stands in its topic a second time, long after the first",
    "delay": "requests to broker, databases and providers take long",
    "reorder": "partitions and topics are read with lags of their own",
    "crash-before-commit": "a process dies in the middle of a transaction",
    "crash-after-commit": "a process dies when its transaction is committed and nobody knows",
    "crash-after-publish": "a process dies when Kafka has its events and the outbox has them still",
    "crash-before-offsets": "a process dies between a transaction and the commit of its offsets",
    "crash-in-call": "a process dies before, in or after a call to a provider",
    "kill": "a process dies at any instant",
    "restart": "a process stops on SIGTERM, and another takes its place",
    "pause": "a process stands still, perhaps for longer than its session, and goes on",
    "partition": "a process does not reach Kafka for a while, and goes on without it",
    "rebalance": "partitions change hands again and again",
    "two-relays": "a relay loses its lock without knowing, while another takes it",
    "unknown-outcome": "a provider's answer is lost, late or an error, with or without the effect",
    "provider-away": "a provider answers nothing for a while",
    "clock-skew": "the processes' clocks differ by seconds",
    "broker-away": "the broker answers nothing for a while",
    "ack-lost": "the broker has the events, and the producer does not know",
    "offsets-lost": "a commit of offsets does not arrive, or its answer doesn't",
    "fetch-error": "a fetch fails and drops what was fetched of other partitions",
    "database-away": "a database is restarted, or away for a while",
    "database-lost": "a database is gone with its outbox, and is made anew from the log",
    "statement-error": "a statement fails, or the answer to a commit is lost",
    "slow-service": "everything a service does with its database takes long",
    "redis-lost": "Redis comes back empty",
    "redis-set-back": "Redis comes back without its last writes",
    "redis-away": "Redis answers nothing for a while",
    "service-stopped": "no process of a service runs for a long while",
    "rewound": "a group reads all its topics again from the beginning",
    "inbox-pruned": "a service loses its inbox, and consumes everything again",
    "poison": "bytes that are no event under an order's key; an operator discards it and lets the rest go on",
}
FAULTS: Final = FIRST | LATER
SHARES: Final = {
    "declined": 0.06,
    "flaky": 0.06,
    "bank-refuses-refund": 0.03,
    "undeliverable": 0.05,
    "carrier-refuses": 0.04,
    "suspended": 0.05,
    "scarce": 0.10,
    "hasty": 0.08,
    "cancel": 0.25,
    "dispatch": 0.25,
}
"""The shares of orders that go another way than the straight one; the kinds mix."""

STEADY_S: Final = 30.0
"""Orders that arrive over so long meet the faults in every phase; of a burst most meet them at the start."""

FAST_PATHS: Final = tuple(
    path for path in FastPath if path not in {FastPath.HTTP, FastPath.LOCAL_WAITERS}
)
"""Those that a simulated process can have: of HTTP nothing is simulated."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`faults` maps each kind that is on to its intensity, above 0 and up to 1.

    With `mixed` fast paths each process draws its own whenever it starts. A system that `moves` begins
    with the topics of before the lanes (simulation/moving.py). At step `cut`, counted over all processes,
    the one that takes it dies: 0 is never.
    """

    seed: int
    orders: int = 250
    faults: dict[str, float] = field(default_factory=dict)
    arrive_s: float = 1.5
    refuses_refunds: bool = True
    settle_s: float = 1800.0
    """So long may it take after the last fault, in virtual seconds, until every order is settled."""
    mutant: str = ""
    cut: int = 0
    fast_paths: Literal["all", "none", "mixed"] = "all"
    topics: Literal["lanes", "moves"] = "lanes"
    regret: float = 0.0
    """The share of customers who wait for the confirmation, think it over, and cancel."""

    @classmethod
    def drawn(cls, seed: int, orders: int, only: frozenset[str] = frozenset(FAULTS)) -> Self:
        """A swarm: each seed has its own few kinds of faults, some many, a few none."""
        choice, later = Random(f"{seed}/plan"), Random(f"{seed}/plan/later")
        share = choice.choice((0.0, 0.15, 0.3, 0.5, 0.9))
        faults = {
            kind: round(drawn.uniform(0.1, 1.0), 2)
            for kinds, drawn, chance in ((FIRST, choice, share), (LATER, later, share / 2))
            for kind in kinds
            if drawn.random() < chance and kind in only
        }
        arrive_s = choice.choice((0.5, 1.5, 4.0))
        is_steady = Random(f"{seed}/plan/steady").random() < 0.3  # noqa: PLR2004
        return cls(
            seed,
            orders,
            faults,
            arrive_s=STEADY_S if is_steady else arrive_s,
            refuses_refunds=choice.random() < 0.25,  # noqa: PLR2004 - each takes a virtual minute
            fast_paths=Random(f"{seed}/plan/fast-paths").choice(("all", "none", "mixed", "mixed")),
            topics=Random(f"{seed}/plan/topics").choice(("lanes", "lanes", "lanes", "moves")),
            regret=Random(f"{seed}/plan/regret").choice((0.0, 0.2, 0.4)),
        )

    def without(self, kind: str) -> "Plan":
        return replace(self, faults={k: v for k, v in self.faults.items() if k != kind})

    def random(self, purpose: str) -> Random:
        """Each purpose has a stream of its own, so that a fault left out changes no other."""
        return Random(f"{self.seed}/{purpose}")

    def fast_paths_of(self, choice: Random) -> frozenset[FastPath]:
        """What is switched on in a process that starts."""
        chance = {"all": 1.0, "none": 0.0, "mixed": 0.5}[self.fast_paths]
        return frozenset(path for path in FAST_PATHS if choice.random() < chance)

    def to_json(self) -> str:
        return to_json(self).decode()

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Raises ValueError for what is no plan."""
        plan = TypeAdapter(cls).validate_json(text)
        if unknown := sorted(set(plan.faults) - set(FAULTS)):
            raise ValueError(f"no such fault: {', '.join(unknown)}")
        return plan
