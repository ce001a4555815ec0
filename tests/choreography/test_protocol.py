"""The protocol and the manifests say what the services declare."""

from itertools import pairwise
from typing import Final, get_args

import pytest

from chassis.manifest import Manifest
from guarantees.protocol import (
    AGAIN,
    CALLS,
    HOPS,
    SETTLED,
    STEPS,
    UNSEEN,
    Hop,
    Step,
)
from guarantees.services import SERVICES
from shared_events.catalog import CATALOG
from tests.domain.samples.all import BY_SERVICE

FORWARD: Final = tuple(hop for hop in HOPS if hop.event in {step.forward for step in STEPS})
each_hop = pytest.mark.parametrize(
    "hop", [*HOPS, AGAIN], ids=lambda hop: f"{hop.event} to {hop.to}"
)
each_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.service)
each_manifest = pytest.mark.parametrize("manifest", SERVICES, ids=lambda manifest: manifest.name)


def states_of(service: str) -> set[str]:
    return {state.__name__ for state in get_args(BY_SERVICE[service].states)}


def published_by(service: str) -> set[str]:
    declared = BY_SERVICE[service].service.publishes
    return {name for name, entry in CATALOG.by_type.items() if entry.event in declared}


@each_hop
def test_an_event_of_the_protocol_goes_from_its_publisher_to_a_reader(hop: Hop) -> None:
    assert hop.event in published_by(hop.by)
    assert CATALOG.by_type[hop.event].event in BY_SERVICE[hop.to].service.consumes
    assert hop.sent <= states_of(hop.by)
    assert hop.undecided <= states_of(hop.to)
    assert hop.leads_to <= published_by(hop.to)
    assert hop.proof in CATALOG.by_type


def test_the_steps_are_all_services_in_the_order_in_which_one_follows_another() -> None:
    assert [step.service for step in STEPS] == [manifest.name for manifest in SERVICES]
    followed = [(hop.by, hop.to) for hop in FORWARD]
    assert followed == [*pairwise(step.service for step in STEPS), (STEPS[-1].service, "order")]


@each_step
def test_a_step_is_of_events_and_states_of_its_service(step: Step) -> None:
    assert {step.forward, step.back} <= published_by(step.service)
    assert step.confirmed | step.cancelled <= states_of(step.service) - UNSEEN
    assert step.confirmed.isdisjoint(step.cancelled)


@each_manifest
def test_the_protocol_has_a_place_for_each_state(manifest: Manifest) -> None:
    name = manifest.name
    placed = {"Absent"} | {state for hop in HOPS if hop.by == name for state in hop.sent}
    placed |= {state for hop in HOPS if hop.to == name for state in hop.undecided}
    placed |= {call.state for call in manifest.calls}
    placed |= set(manifest.final)  # an end: nobody waits for it
    placed |= SETTLED if name == "order" else set()
    assert states_of(name) <= placed


@each_manifest
def test_a_manifest_names_what_its_service_declares(manifest: Manifest) -> None:
    declared, states = BY_SERVICE[manifest.name].service, states_of(manifest.name)
    assert declared.name == manifest.name
    assert {call.kind for call in manifest.calls} == set(declared.effects)
    assert set(manifest.timers.values()) == set(declared.timers)
    assert {call.state for call in manifest.calls} | {*manifest.timers, *manifest.final} <= states
    inputs = {message.__name__ for message in get_args(BY_SERVICE[manifest.name].inputs)}
    assert {outcome for call in manifest.calls for outcome in call.outcomes} <= inputs
    assert (declared.combined is not None) == bool(manifest.counter)
    events = {call.intent for call in manifest.calls} | set(manifest.final.values())
    assert events <= published_by(manifest.name)
    assert bool(manifest.provider) == bool(manifest.calls)


def test_facts_of_one_service_are_of_no_other() -> None:
    ports = [manifest.port for manifest in SERVICES]
    redis = [m.redis_database for m in SERVICES if m.redis_database is not None]
    kinds = [kind for _, kind in CALLS.items()]
    for values in (ports, redis, kinds):
        assert len(values) == len(set(values))
    assert all(m.has_database or m.redis_database is not None for m in SERVICES)


def test_each_hop_leads_to_an_event_but_for_the_one_that_leads_to_a_second_award() -> None:
    assert {hop.event for hop in HOPS if not hop.leads_to} == {"shipment.cancellation_refused.v1"}
