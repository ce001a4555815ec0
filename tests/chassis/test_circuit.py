"""When a provider is left alone, and how it is asked again."""

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from chassis import clock
from chassis.effects.circuit import Circuit, CircuitState
from chassis.errors import MisconfiguredError, ProviderError

AWAY = ConnectionError("the line is dead")


class ManualClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def pass_time(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    hands = ManualClock()
    monkeypatch.setattr(clock, "monotonic", lambda: hands.now)
    return hands


@pytest.fixture
def circuit() -> Circuit:
    return Circuit("payment", "test", cool_s=1.0, cool_max_s=30.0)


def fail(circuit: Circuit, *effects: str, error: Exception = AWAY) -> None:
    for effect in effects:
        circuit.failed(effect, error)


def opened(circuit: Circuit) -> Circuit:
    fail(circuit, "a", "b", "c", "d", "e")
    assert circuit.state is CircuitState.OPEN
    return circuit


def gauge() -> float:
    found = REGISTRY.get_sample_value(
        "saga_circuit_state", {"service": "payment", "provider": "test"}
    )
    assert found is not None
    return found


def test_a_closed_circuit_permits_all_that_is_free(time: ManualClock, circuit: Circuit) -> None:
    assert (circuit.permits(7), circuit.permits(0)) == (7, 0)


def test_five_effects_that_fail_in_a_row_open_it(time: ManualClock, circuit: Circuit) -> None:
    fail(circuit, "a", "b", "c", "d")
    assert circuit.permits(7) == 7
    with capture_logs() as logs:
        fail(circuit, "e")
    assert circuit.permits(7) == 0
    assert [line["event"] for line in logs] == ["circuit_opened"]
    assert (circuit.why, gauge()) == ("the line is dead", CircuitState.OPEN)


def test_an_answer_in_between_starts_the_count_again(time: ManualClock, circuit: Circuit) -> None:
    fail(circuit, "a", "b", "c", "d")
    circuit.succeeded()
    fail(circuit, "e", "f", "g", "h")
    assert circuit.state is CircuitState.CLOSED


def test_one_effect_that_always_fails_never_opens_it(time: ManualClock, circuit: Circuit) -> None:
    fail(circuit, *["poison"] * 1000)
    assert circuit.permits(7) == 7


def test_a_provider_that_refuses_us_opens_it_at_once(time: ManualClock, circuit: Circuit) -> None:
    fail(circuit, "a", error=MisconfiguredError("a wrong key"))
    assert (circuit.permits(7), circuit.why) == (0, "a wrong key")


def test_a_provider_that_asks_for_patience_is_not_away(time: ManualClock, circuit: Circuit) -> None:
    fail(circuit, *"abcdefgh", error=ProviderError("too fast", retry_after_s=2))
    assert circuit.permits(7) == 7


def test_after_the_cool_off_one_probe_at_a_time_is_permitted(
    time: ManualClock, circuit: Circuit
) -> None:
    opened(circuit)
    time.pass_time(0.9)
    assert circuit.permits(7) == 0
    time.pass_time(0.2)
    assert circuit.permits(7) == 1
    assert gauge() == CircuitState.HALF_OPEN
    circuit.asking(1)
    assert circuit.permits(6) == 0


def test_a_probe_that_found_nothing_to_ask_leaves_the_next_one_to_try(
    time: ManualClock, circuit: Circuit
) -> None:
    opened(circuit)
    time.pass_time(2)
    assert circuit.permits(7) == 1
    circuit.asking(0)
    assert circuit.permits(7) == 1


def test_a_probe_that_is_answered_closes_it(time: ManualClock, circuit: Circuit) -> None:
    opened(circuit)
    time.pass_time(2)
    circuit.asking(circuit.permits(7))
    with capture_logs() as logs:
        circuit.succeeded()
    assert (circuit.permits(7), circuit.why, gauge()) == (7, "", CircuitState.CLOSED)
    assert [line["event"] for line in logs] == ["circuit_closed"]


def test_a_probe_that_has_to_wait_makes_room_for_another(
    time: ManualClock, circuit: Circuit
) -> None:
    opened(circuit)
    time.pass_time(2)
    circuit.asking(circuit.permits(7))
    fail(circuit, "a", error=ProviderError("too fast", retry_after_s=2))
    assert circuit.permits(7) == 1


def test_each_probe_that_fails_doubles_the_cool_off_up_to_the_maximum(
    time: ManualClock, circuit: Circuit
) -> None:
    opened(circuit)
    waited = []
    for _ in range(7):
        seconds = 0.0
        while not circuit.permits(1):
            time.pass_time(0.5)
            seconds += 0.5
        waited.append(seconds)
        circuit.asking(1)
        fail(circuit, "a")
    assert waited == [1, 2, 4, 8, 16, 30, 30]


def test_an_answer_forgets_the_earlier_cool_offs(time: ManualClock, circuit: Circuit) -> None:
    opened(circuit)
    for _ in range(3):
        time.pass_time(30)
        circuit.asking(circuit.permits(1))
        fail(circuit, "a")
    time.pass_time(30)
    circuit.asking(circuit.permits(1))
    circuit.succeeded()
    opened(circuit)
    time.pass_time(1)
    assert circuit.permits(1) == 1


def test_calls_that_were_under_way_when_it_opened_neither_open_it_again_nor_lengthen_it(
    time: ManualClock, circuit: Circuit
) -> None:
    opened(circuit)
    with capture_logs() as logs:
        fail(circuit, "f", "g")
    assert logs == []
    time.pass_time(1)
    assert circuit.permits(1) == 1
