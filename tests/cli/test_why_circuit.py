"""Who must act on an order while the circuit to a provider is open, and when the provider is asked again."""

from dataclasses import replace
from datetime import timedelta

from saga_cli.ops.orders import lines
from tests.cli.situations import NOW, OPEN, capturing, diagnosed, first


def test_an_open_circuit_is_named_with_its_reason() -> None:
    asked = capturing(circuits=(OPEN,), in_s=-60)
    found = diagnosed(order="Pending", inventory="Reserved", payment=asked)
    assert "the circuit to stripe is open: 401" in first(found).what
    assert first(found).wait.startswith("next try now: payment calls stripe by itself")
    assert first(found).commands == ("saga logs payment",)


def test_while_a_circuit_is_open_the_provider_must_act_and_the_next_try_is_when_both_let_it() -> (
    None
):
    until = replace(OPEN, calls_again_at=NOW + timedelta(seconds=12))
    before = {"order": "Pending", "inventory": "Reserved"}
    soon = diagnosed(payment=capturing(circuits=(until,), in_s=4), **before)
    late = diagnosed(payment=capturing(circuits=(until,), in_s=30), **before)
    assert first(soon).wait.startswith("next try in 12 s: ")
    assert first(late).wait.startswith("next try in 30 s: ")
    assert (first(soon).service, first(soon).outside) == ("payment", "stripe")
    assert first(soon).who == "stripe, which payment calls"
    printed = "\n".join(lines(soon, {}))
    assert "\nNext: stripe, which payment calls\n" in printed
    assert "Capture outstanding, since 3 min; asked 3 times; last error: Provider" in printed
    assert "nothing to do" not in printed
