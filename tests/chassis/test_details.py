"""What a call needs and no kept event holds: there, on its way, or erased."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from chassis import clock
from chassis.effects import WithDetails
from chassis.errors import ProviderError, RefusedError
from chassis.service import Attempt, Details


@dataclass(frozen=True)
class Charge:
    token: str = ""


@dataclass
class Asked:
    """A provider, and the details that are known; `calls` are the tokens it was asked with."""

    details: dict[str, Details] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    async def charge(self, effect: Charge, _attempt: Attempt) -> str:
        self.calls.append(effect.token)
        return "charged"

    async def look_up(self, key: str) -> Details | None:
        return self.details.get(key)

    def asked(self, effect: Charge, tries: int = 1) -> Any:
        run = WithDetails(
            self.charge,
            self.look_up,
            needs=lambda charge: not charge.token,
            fill=lambda charge, details: replace(charge, token=details["token"]),
            erased=lambda _charge: "erased",
        )
        return asyncio.run(run(effect, Attempt("o-1:capture:1", tries, clock.now())))


def test_a_call_gets_the_details_of_its_key() -> None:
    bank = Asked({"o-1": {"token": "tok_a"}, "o-2": {"token": "tok_b"}})
    assert bank.asked(Charge()) == "charged"
    assert bank.calls == ["tok_a"]


def test_what_an_earlier_release_has_owed_is_asked_for_as_it_is() -> None:
    bank = Asked()
    assert bank.asked(Charge("tok_old")) == "charged"
    assert bank.calls == ["tok_old"]


def test_details_that_have_not_come_yet_are_waited_for_and_say_nothing_of_the_provider() -> None:
    bank = Asked()
    with pytest.raises(ProviderError) as caught:
        bank.asked(Charge())
    assert caught.value.retry_after_s is not None, "no circuit opens for it"
    assert bank.calls == []


def test_details_that_are_erased_end_what_nobody_was_asked_for() -> None:
    bank = Asked({"o-1": {"token": ""}})
    assert bank.asked(Charge()) == "erased"
    assert bank.calls == []


def test_where_the_provider_may_have_been_asked_before_a_person_has_to_look() -> None:
    bank = Asked({"o-1": {"token": ""}})
    with pytest.raises(RefusedError):
        bank.asked(Charge(), tries=2)
    assert bank.calls == []
