"""The services joined in memory over their pure rules: topics, cursors, inboxes, effects, timers.

A world is a value. A service's state is the fold of what it published, so the logs and the
cursors are all there is to tell two worlds apart.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from chassis.decision import Decision, Later, Refusal
from chassis.events import event_id
from chassis.service import Service
from guarantees.declared import service_of
from guarantees.services import BY_NAME
from order_svc.messages import CancelOrder, CartLine, PlaceOrder
from payment_svc.messages import (
    Capture,
    CaptureDeclined,
    CaptureSucceeded,
    Refund,
    RefundRefused,
    RefundSucceeded,
)
from shared_events.catalog import CATALOG
from shared_events.loyalty import CustomerSuspended
from shipping_svc.messages import (
    Book,
    Booked,
    BookingCancelled,
    BookingRefused,
    CancelBooking,
    DispatchShipment,
    HandedOver,
    HandOver,
)
from tests.domain.builders import DEADLINE, IN_TIME, PLACED_AT, priced, received

SERVICES: Final = MappingProxyType({name: service_of(name) for name in BY_NAME})
Route = tuple[str, str]
"""A service, and a topic that it reads."""
TopicOf = Callable[[type[Any], int], str]
"""Where an event of a type and an attempt stands. Records of different topics race."""
Routes = Mapping[tuple[type[Any], int], tuple[Route, ...]]
"""By the event's type and attempt: all by which it comes to those who consume it."""
ATTEMPTS: Final = (1, 2)


def lane(event: type[Any], _attempt: int) -> str:
    """As it is published."""
    return CATALOG.by_event[event].topic


def former(event: type[Any], _attempt: int) -> str:
    """As it was published before there were lanes: one topic an owner."""
    return CATALOG.by_event[event].former[-1]


def alone(event: type[Any], attempt: int) -> str:
    """A topic for each event of an order: any two are seen in either order."""
    return f"{CATALOG.by_event[event].name} {attempt}"


@cache
def routes_of(topic_of: TopicOf) -> Routes:
    return {
        (event, attempt): tuple(
            (service.name, topic_of(event, attempt))
            for service in SERVICES.values()
            if event in service.consumes
        )
        for event in CATALOG.by_event
        if CATALOG.by_event[event].is_of_a_saga
        for attempt in ATTEMPTS
    }


def in_order(routes: Routes) -> dict[Route, None]:
    """Each once: the services in the order of the chain, their topics by name."""
    found = {route for some in routes.values() for route in some}
    chain = tuple(SERVICES)
    return dict.fromkeys(sorted(found, key=lambda route: (chain.index(route[0]), route[1])))


LATE: Final = IN_TIME + (DEADLINE - PLACED_AT) + timedelta(seconds=1)
CANCEL: Final = CancelOrder(order_id="o-1")
DISPATCH: Final = DispatchShipment(order_id="o-1")


@dataclass(frozen=True, slots=True)
class Deliver:
    """The next record of a topic reaches a service."""

    service: str
    topic: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """A record that a service has read is decided again, as if there were no inbox."""

    service: str
    event: Any


WorldOutcome = Literal["success", "decline", "carrier refuses", "bank declines"]
Crash = Literal["", "lost", "twice"]


@dataclass(frozen=True, slots=True)
class Finish:
    """A provider answers a call that a service owes: to one key always the same.

    In a crash the answer is `lost`, and asked for again; or the lease is over, a second process
    calls too, and the answer comes `twice`, the second time whenever that is.
    """

    service: str
    effect: Any
    outcome: WorldOutcome = "success"
    crash: Crash = ""


@dataclass(frozen=True, slots=True)
class Fire:
    """A timer is due, whenever that is; after a crash it may come twice."""

    service: str
    message: Any
    crash: Crash = ""


@dataclass(frozen=True, slots=True)
class TimePasses:
    """The order's deadline is over, by everybody's clock."""


@dataclass(frozen=True, slots=True)
class Command:
    service: str
    body: Any


Move: TypeAlias = Deliver | Repeat | Finish | Fire | TimePasses | Command
CANCEL_NOW: Final = Command("order", CANCEL)
DISPATCH_NOW: Final = Command("shipping", DISPATCH)


@dataclass(frozen=True, slots=True)
class Named:
    """What is asked of an event again and again; it is kept alive, so that its id() stays its own."""

    event: Any
    identity: UUID
    text: str


_named: dict[int, Named] = {}
id_of: Final = cache(event_id)


def named(event: Any) -> Named:
    """Worked out once per object: an order's open fields have no hash."""
    found = _named.get(id(event))
    if found is None:
        entry = CATALOG.entry_of(event)
        attempt = getattr(event, "attempt", 1)
        identity = id_of(entry.subject_of(event), entry.wire_type, attempt)
        found = _named[id(event)] = Named(event, identity, repr(event))
    return found


def identity(event: Any) -> UUID:
    return named(event).identity


INITIAL: Final = {name: service.initial for name, service in SERVICES.items()}


class World(NamedTuple):
    """Never changed: `after` makes the next one. A tuple, as most of the work is to copy it."""

    own: Mapping[str, Any] = INITIAL
    shared: Mapping[str, Mapping[str, Any]] = dict.fromkeys(SERVICES, MappingProxyType({}))
    published: tuple[Any, ...] = ()  # in the order of publication, over all topics
    logs: Mapping[str, tuple[str, ...]] = dict.fromkeys(SERVICES, ())
    routes: Routes = routes_of(alone)
    queues: Mapping[Route, tuple[Any, ...]] = dict.fromkeys(in_order(routes_of(alone)), ())
    cursors: Mapping[Route, int] = dict.fromkeys(in_order(routes_of(alone)), 0)
    inbox: Mapping[str, frozenset[UUID]] = dict.fromkeys(SERVICES, frozenset())
    effects: tuple[tuple[str, Any], ...] = ()
    answers: Mapping[tuple[str, Any], WorldOutcome] = {}  # the providers' books
    timers: tuple[tuple[str, Any], ...] = ()
    is_late: bool = False
    answer: Decision | Refusal = Decision()

    def key(self) -> Any:
        """Equal for worlds that can't be told apart by what may follow."""
        facts = tuple(self.logs.values())
        promised = tuple(
            self.answers.get(outstanding_effects) for outstanding_effects in self.effects
        )
        cursors = tuple(self.cursors.values())
        return facts, cursors, self.effects, promised, self.timers, self.is_late

    def topic(self, name: str) -> tuple[Any, ...]:
        return tuple(event for event in self.published if CATALOG.entry_of(event).topic == name)

    def moves(self) -> tuple[Move, ...]:
        """What the services do by themselves; commands and the time come from outside."""
        cursors = self.cursors
        waiting = (route for route, queue in self.queues.items() if cursors[route] < len(queue))
        deliveries = tuple(Deliver(*route) for route in waiting)
        return (
            *deliveries,
            *(Finish(*outstanding_effects) for outstanding_effects in self.effects),
        )

    def due(self) -> tuple[Fire, ...]:
        return tuple(Fire(*timer) for timer in self.timers)

    def after(self, move: Move) -> "World":
        match move:
            case Deliver(service, topic):
                return self.delivered((service, topic))
            case Repeat(name, event):
                return self.decided(SERVICES[name], event)
            case Finish():
                return self.finished(move)
            case Fire(name, message, crash):
                left = tuple(t for t in self.timers if crash or t != (name, message))
                return self._replace(timers=left).decided(SERVICES[name], message)
            case TimePasses():
                return self._replace(is_late=True)
            case Command(service, body):
                return self.decided(SERVICES[service], body)

    def delivered(self, route: Route) -> "World":
        position = self.cursors[route]
        moved = self._replace(cursors={**self.cursors, route: position + 1})
        return moved.received(SERVICES[route[0]], self.queues[route][position])

    def finished(self, move: Finish) -> "World":
        outstanding_effects = (move.service, move.effect)
        answer = self.answers.get(outstanding_effects, move.outcome)
        left = tuple(other for other in self.effects if move.crash or other != outstanding_effects)
        answered = self._replace(
            effects=left, answers={**self.answers, outstanding_effects: answer}
        )
        if move.crash == "lost":
            return answered
        return answered.decided(SERVICES[move.service], outcome_of(move.effect, answer))

    def received(self, service: Service, event: Any) -> "World":
        """A record that is in the inbox has been decided before."""
        seen, number = self.inbox[service.name], identity(event)
        if number in seen:
            return self
        noted = self._replace(inbox={**self.inbox, service.name: seen | {number}})
        return noted.decided(service, event)

    def decide(self, service: Service, message: Any) -> Decision | Refusal:
        return self._decide(service, self._state(service, message), message)

    def _decide(self, service: Service, state: Any, message: Any) -> Decision | Refusal:
        return service.decide(state, message, LATE if self.is_late else IN_TIME)

    def decided(self, service: Service, message: Any) -> "World":
        state = self._state(service, message)
        decision = self._decide(service, state, message)
        if isinstance(decision, Refusal) or not (
            decision.events or decision.effects or decision.dropped
        ):
            return self._replace(answer=decision)
        for event in decision.events:
            state = service.evolve(state, event)
        own, rows = service.split(state)
        return self._replace(
            own={**self.own, service.name: own},
            shared={**self.shared, service.name: {**self.shared[service.name], **rows}},
            published=(*self.published, *decision.events),
            logs={**self.logs, service.name: self._log(service, decision)},
            queues=_appended(self.routes, self.queues, decision.events),
            effects=(*self.effects, *_shown_effect(service, decision, service.effects)),
            timers=(
                *(t for t in self.timers if not isinstance(t[1], decision.dropped)),
                *_shown_effect(service, decision, service.timers),
            ),
            answer=decision,
        )

    def _log(self, service: Service, decision: Decision) -> tuple[str, ...]:
        return (*self.logs[service.name], *(named(event).text for event in decision.events))

    def _state(self, service: Service, message: Any) -> Any:
        """Only the shared rows that the service names for the message, as in the chassis."""
        own, rows = self.own[service.name], self.shared[service.name]
        named = service.shared_keys(own, message)
        return service.with_shared(own, {row: rows[row] for row in named if row in rows})

    def seeded(self, service: Service, fact: Any) -> "World":
        """A fact from before the order: it only fills a row that orders share."""
        rows = self.shared[service.name]
        _, filled = service.split(service.evolve(service.with_shared(service.initial, rows), fact))
        return self._replace(shared={**self.shared, service.name: filled})

    def settled(self, outcome: WorldOutcome = "success") -> "World":
        """Every queue run empty, first come first served; no timer is due meanwhile."""
        world = self
        while moves := world.moves():
            move = moves[0]
            ends = replace(move, outcome=outcome) if isinstance(move, Finish) else move
            world = world.after(ends)
        return world

    def delivered_before(self) -> Iterable[tuple[Service, Any]]:
        for route, queue in self.queues.items():
            for event in queue[: self.cursors[route]]:
                yield SERVICES[route[0]], event


def outcome_of(effect: Any, outcome: WorldOutcome) -> Any:
    match effect:
        case Capture(order_id=order_id) if outcome == "decline":
            return CaptureDeclined(order_id=order_id, reason="card_declined")
        case Capture(order_id=order_id):
            return CaptureSucceeded(order_id=order_id, provider_ref="ch-1")
        case Refund(order_id=order_id) if outcome == "bank declines":
            return RefundRefused(order_id=order_id, reason="expired_card")
        case Refund(order_id=order_id):
            return RefundSucceeded(order_id=order_id)
        case Book(order_id=order_id) if outcome == "carrier refuses":
            return BookingRefused(order_id=order_id, reason="carrier_refused")
        case Book(order_id=order_id):
            return Booked(order_id=order_id, carrier_ref="CAR-1")
        case HandOver(order_id=order_id):
            return HandedOver(order_id=order_id)
        case CancelBooking(order_id=order_id):
            return BookingCancelled(order_id=order_id)
        case _:
            raise AssertionError(f"no provider runs {effect}")


def _shown_effect(
    service: Service, decision: Decision, kinds: Mapping[str, type[Any]]
) -> tuple[tuple[str, Any], ...]:
    plain = (e.what if isinstance(e, Later) else e for e in decision.effects)
    return tuple((service.name, effect) for effect in plain if type(effect) in kinds.values())


def a_world(
    *, country: str = "DE", stock: int = 10, suspended: bool = False, topic_of: TopicOf = alone
) -> World:
    """One order is placed; nobody has read it yet."""
    routes = routes_of(topic_of)
    queues, cursors = dict.fromkeys(in_order(routes), ()), dict.fromkeys(in_order(routes), 0)
    empty = World(routes=routes, queues=queues, cursors=cursors)
    world = empty.seeded(SERVICES["order"], priced())
    if stock:
        world = world.seeded(SERVICES["inventory"], received(stock))
    if suspended:
        world = world.seeded(SERVICES["loyalty"], CustomerSuspended(customer_id="c-1"))
    order = PlaceOrder(
        order_id="o-1",
        customer_id="c-1",
        cart=(CartLine(sku="CUP", quantity=2),),
        currency="EUR",
        country=country,
        patience=DEADLINE - PLACED_AT,
    )
    return world.after(Command("order", order))


def _appended(
    routes: Routes, queues: Mapping[Route, tuple[Any, ...]], events: tuple[Any, ...]
) -> Mapping[Route, tuple[Any, ...]]:
    longer = dict(queues)
    for event in events:
        for route in routes.get((type(event), getattr(event, "attempt", 1)), ()):
            longer[route] = (*longer[route], event)
    return longer
