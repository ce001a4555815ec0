from functools import cached_property
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chassis.process.settings import ConfidentialUrl, Currency, ProviderSettings, json_of
from chassis.secret import NO_SECRET, RequiredSecret, Secret, SecretSettings
from payment_svc.domain import POLICY, Policy


class StripeSettings(SecretSettings):
    """Read only where Stripe is the provider. Webhooks are off without their secret.

    `webhook_secret` may be several, separated by commas, while one takes over from another.
    """

    model_config = SettingsConfigDict(env_prefix="STRIPE_")

    api_key: RequiredSecret
    api_base: ConfidentialUrl = "https://api.stripe.com"
    webhook_secret: Secret = NO_SECRET

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """As they are now. Raises SecretError."""
        given = self.webhook_secret.read().split(",")
        return tuple(secret.strip() for secret in given if secret.strip())


FixedFee = Annotated[int, Field(ge=0, le=10**9)]
ByCurrency = Annotated[dict[Currency, FixedFee], NoDecode, BeforeValidator(json_of)]


class PolicySettings(BaseSettings):
    """`fee_*` say what the provider keeps of a payment that is refunded.

    `fee_fixed_minor` is in hundredths of a currency's unit; `fee_fixed_by_currency` names others, in
    their own minor units (JSON, such as `{"JPY": 40}`).
    """

    model_config = SettingsConfigDict(env_prefix="PAYMENT_")

    fee_bps: int = Field(POLICY.provider_fee_bps, ge=0, le=10_000)
    fee_fixed_minor: int = Field(POLICY.provider_fee_fixed_minor, ge=0, le=10**9)
    fee_fixed_by_currency: ByCurrency = Field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        return Policy(
            provider_fee_bps=self.fee_bps,
            provider_fee_fixed_minor=self.fee_fixed_minor,
            provider_fee_fixed=self.fee_fixed_by_currency,
        )


class Settings(ProviderSettings, PolicySettings):
    """Of one process of the payment service."""

    provider: Literal["simulated", "stripe"] = "simulated"

    @field_validator("provider")
    @classmethod
    def _has_what_it_needs(cls, provider: str) -> str:
        if provider == "stripe":
            try:
                StripeSettings()  # type: ignore[call-arg]  # read from the environment
            except ValidationError as error:
                wrong = [f"STRIPE_{e['loc'][0]}".upper() + f": {e['msg']}" for e in error.errors()]
                raise ValueError("; ".join(wrong)) from None
        return provider

    @cached_property
    def stripe(self) -> StripeSettings:
        return StripeSettings()  # type: ignore[call-arg]  # read from the environment
