"""What the payment service is told by its environment."""

import os
import sys

import pytest

from payment_svc.__main__ import main
from payment_svc.domain import Policy
from payment_svc.settings import Settings, StripeSettings

NEEDED = {
    "PAYMENT_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    "PAYMENT_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "PAYMENT_AUTH_ISSUER": "https://issuer.example",
}
STRIPE = {"PAYMENT_PROVIDER": "stripe", "STRIPE_API_KEY": "sk_test_1"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["payment_svc"])
    for name in list(os.environ):
        if name.startswith(("PAYMENT_", "STRIPE_")):
            monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def settings() -> Settings:
    return Settings()  # type: ignore[call-arg]  # read from the environment


def test_the_simulated_provider_needs_no_key() -> None:
    assert (settings().provider, settings().policy) == ("simulated", Policy())


def test_the_fees_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENT_FEE_BPS", "290")
    monkeypatch.setenv("PAYMENT_FEE_FIXED_MINOR", "30")
    monkeypatch.setenv("PAYMENT_FEE_FIXED_BY_CURRENCY", '{"JPY": 40}')
    policy = Policy(
        provider_fee_bps=290, provider_fee_fixed_minor=30, provider_fee_fixed={"JPY": 40}
    )
    assert settings().policy == policy


def test_stripe_is_told_by_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENT_PROVIDER", "stripe")
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_1")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_new, whsec_old,")
    stripe = settings().stripe
    assert stripe.api_key.read() == "sk_test_1"
    assert stripe.api_base == "https://api.stripe.com"
    assert stripe.webhook_secrets == ("whsec_new", "whsec_old")


def test_no_secret_shows_in_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_1")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_1")
    shown = repr(StripeSettings())  # type: ignore[call-arg]  # read from the environment
    assert "sk_test" not in shown
    assert "whsec" not in shown


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"PAYMENT_PROVIDER": "stripe"}, "STRIPE_API_KEY"),
        ({"PAYMENT_PROVIDER": "stripe", "STRIPE_API_KEY": ""}, "STRIPE_API_KEY"),
        (
            {**STRIPE, "STRIPE_API_BASE": "http://stripe.example"},
            "STRIPE_API_BASE: Value error, a secret is sent there: https",
        ),
        ({**STRIPE, "STRIPE_API_BASE": "http://127.0.0.1.example"}, "STRIPE_API_BASE"),
        ({"PAYMENT_PROVIDER": "paypal"}, "PAYMENT_PROVIDER"),
        ({"PAYMENT_FEE_BPS": "10001"}, "PAYMENT_FEE_BPS"),
    ],
)
def test_what_is_missing_fails_the_start_in_one_line_that_names_it(
    variables: dict[str, str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr().err
    assert (ended.value.code, printed.count("\n")) == (2, 1)
    assert named in printed
