"""Visits every state that one order, or several of one SKU, can come to, and checks each.

What may happen at any instant: a delivery, a provider's answer, a timer however early; and by the
*chances* an order starts with, a cancellation, a dispatch, the deadline, a crash, a repeat. A chance
is spent when it changes something.

What a crash can do here is little. A transaction that is lost as a whole changed nothing. Records
come again when their offset was lost, or when a relay published them and died before it removed
them: they are repeats, later in the topic and never before their first. The inbox makes a repeat
nothing, which is checked at every state; explored are services without one, whose rules must refuse
by themselves. What is left is a call whose answer is lost or comes twice: the chance `crash`. An
outbox needs no moves of its own: an event relayed late is an event delivered late.

Orders meet in two rows only: the stock of their SKU, and their customer's points, whose number no
rule reads. So moves of different orders commute, but for one: asking for stock reads what is
available, and another order may be taking or giving back. An order that has asked therefore moves
alone, as long as it can't give stock back while another has still to ask (a persistent set: of the
runs that differ by swapping moves that commute, one is enough, and every end and every step of
every order is in one). One that could rest here lets the others go on as well. No rule reads an
order's id, so a state and its mirror image are one.
"""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import process_time
from typing import Any, Final, NamedTuple

from inventory_svc.domain import INITIAL as UNDECIDED
from inventory_svc.domain import Level
from loyalty_svc.domain import Customer
from payment_svc.messages import Refund
from tests.choreography import guarantees
from tests.choreography.world import (
    CANCEL_NOW,
    DISPATCH_NOW,
    Crash,
    Finish,
    Fire,
    Move,
    Repeat,
    TimePasses,
    World,
    WorldOutcome,
)

Chances = tuple[str, ...]
OrderRows = tuple[Level, Customer]
OUTSIDE: Final[tuple[tuple[str, Move], ...]] = (
    ("cancel", CANCEL_NOW),
    ("dispatch", DISPATCH_NOW),
    ("deadline", TimePasses()),
)


@dataclass(slots=True)
class Found:
    """`situations` are states of a single order; `tried` counts their moves, the idle ones too."""

    states: int = 0
    situations: int = 0
    steps: int = 0
    tried: int = 0
    seconds: float = 0.0
    ends: Counter[tuple[str, ...]] = field(default_factory=Counter)
    broken: set[str] = field(default_factory=set)


class CheckedStep(NamedTuple):
    order: int
    rows: OrderRows
    gives_back: bool


@dataclass(slots=True)
class Orders:
    """Every situation of one order that was met, by number, and what can follow on it."""

    outcome: WorldOutcome
    found: Found
    met: list[tuple[World, Chances]] = field(default_factory=list)
    numbers: dict[Any, int] = field(default_factory=dict)
    following: dict[tuple[int, OrderRows], tuple[CheckedStep, ...]] = field(default_factory=dict)

    def number(self, world: World, chances: Chances) -> int:
        number = self.numbers.setdefault((world.key(), chances), len(self.met))
        if number == len(self.met):
            self.met.append((world, chances))
        return number

    def steps(self, order: int, rows: OrderRows) -> tuple[CheckedStep, ...]:
        if (order, rows) not in self.following:
            self.following[order, rows] = tuple(self._steps(order, rows))
        return self.following[order, rows]

    def _steps(self, order: int, rows: OrderRows) -> Iterator[CheckedStep]:
        known, chances = self.met[order]
        world = with_rows(known, rows)
        self.found.broken.update(of_inbox(world))
        for move, chance in moves(world, chances, self.outcome):
            self.found.tried += 1
            after = world.after(move)
            left = less(chances, chance)
            self.found.broken.update(guarantees.of_step(world, after))
            if is_like(after, world):
                continue
            if progress(after, left) <= progress(world, chances):
                self.found.broken.add(f"G1 back where it was: {move}")
            level, customer = rows_of(after)
            gives_back = level.available > rows[0].available
            yield CheckedStep(self.number(after, left), (level, customer), gives_back)


def moves(world: World, chances: Chances, outcome: WorldOutcome) -> Iterator[tuple[Move, str]]:
    """Each with the chance that it takes."""
    crashes: tuple[Crash, ...] = ("lost", "twice") if "crash" in chances else ()
    for move in world.moves():
        if not isinstance(move, Finish):
            yield move, ""
            continue
        for answer in answers(move, outcome):
            yield replace(move, outcome=answer), ""
            yield from ((replace(move, outcome=answer, crash=how), "crash") for how in crashes)
    for fire in world.due():
        yield fire, ""
        if crashes:
            yield Fire(fire.service, fire.message, "twice"), "crash"
    if "repeat" in chances:
        yield from ((Repeat(s.name, event), "repeat") for s, event in world.delivered_before())
    yield from ((move, chance) for chance, move in OUTSIDE if chance in chances)


def answers(move: Finish, outcome: WorldOutcome) -> tuple[WorldOutcome, ...]:
    """A bank may decline the first refund."""
    is_first_refund = isinstance(move.effect, Refund) and move.effect.attempt == 1
    return (outcome, "bank declines") if is_first_refund else (outcome,)


def is_like(after: World, before: World) -> bool:
    """Nothing happened: no event, no cursor, nothing owed is new."""
    return (
        after.published is before.published
        and after.cursors is before.cursors
        and after.answers is before.answers
        and after.timers == before.timers
        and after.is_late is before.is_late
    )


def less(chances: Chances, spent: str) -> Chances:
    if not spent:
        return chances
    position = chances.index(spent)
    return chances[:position] + chances[position + 1 :]


def progress(world: World, chances: Chances) -> tuple[int, int]:
    """It grows with every step, so no way goes on for ever and each comes to an end."""
    done = len(world.published) + sum(world.cursors.values()) - len(chances)
    return done, -len(world.effects) - len(world.timers)


def of_inbox(world: World) -> Iterator[str]:
    for service, event in world.delivered_before():
        if world.received(service, event) is not world:
            yield f"G4 not in the inbox: {event}"


def rows_of(world: World) -> OrderRows:
    shared = world.shared
    return shared["inventory"].get("CUP", Level()), shared["loyalty"].get("c-1", Customer())


def with_rows(world: World, rows: OrderRows) -> World:
    level, customer = rows
    shared = {**world.shared, "inventory": {"CUP": level}, "loyalty": {"c-1": customer}}
    return world._replace(shared=shared)


def explored(
    start: World, chances: tuple[Chances, ...], outcome: WorldOutcome, stock: int
) -> Found:
    """As many orders as have chances, each with its own."""
    orders = Orders(outcome, Found())
    explore(orders, start, chances, stock)
    return orders.found


def explore(orders: Orders, start: World, chances: tuple[Chances, ...], stock: int) -> None:
    began, found = process_time(), orders.found
    first = tuple(sorted(orders.number(start, each) for each in chances)), rows_of(start)
    seen, waiting = {first}, [first]
    with collecting_nothing():
        while waiting:
            state = waiting.pop()
            check(orders, state, stock)
            for following in moved(orders, *state):
                found.steps += 1
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
    found.states, found.situations = len(seen), len(orders.met)
    found.seconds = process_time() - began


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """All that is made stays to the end: the collector would go through it in vain, again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def moved(
    orders: Orders, numbers: tuple[int, ...], rows: OrderRows
) -> Iterator[tuple[tuple[int, ...], OrderRows]]:
    for position in movers(orders, numbers, rows):
        others = numbers[:position] + numbers[position + 1 :]
        for step in orders.steps(numbers[position], rows):
            yield tuple(sorted((*others, step.order))), step.rows


def movers(orders: Orders, numbers: tuple[int, ...], rows: OrderRows) -> tuple[int, ...]:
    """The one order that moves alone, or all."""
    asks = [orders.met[number][0].own["inventory"] == UNDECIDED for number in numbers]
    for position, number in enumerate(numbers):
        if asks[position] or not orders.met[number][0].moves():
            continue
        if not any(asks) or not any(step.gives_back for step in orders.steps(number, rows)):
            return (position,)
    return tuple(range(len(numbers)))


def check(orders: Orders, state: tuple[tuple[int, ...], OrderRows], stock: int) -> None:
    numbers, (level, customer) = state
    worlds = tuple(orders.met[number][0] for number in numbers)
    found = orders.found
    found.broken.update(guarantees.of_rows(worlds, level, customer.points, stock))
    if not any(world.moves() for world in worlds):
        found.ends[tuple(sorted(type(world.own["order"]).__name__ for world in worlds))] += 1
        for world in worlds:
            found.broken.update(guarantees.of_end(world))
