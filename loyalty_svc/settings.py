from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chassis.process.settings import Currency, RedisSettings, json_of
from loyalty_svc.domain import Policy

PerPoint = Annotated[int, Field(ge=1, le=10**9)]
ByCurrency = Annotated[dict[Currency, PerPoint], NoDecode, BeforeValidator(json_of)]


class PolicySettings(BaseSettings):
    """How many minor units earn a point, of currencies for which the rule is another than the default."""

    model_config = SettingsConfigDict(env_prefix="LOYALTY_")

    minor_per_point: ByCurrency = Field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        return Policy(per_point=self.minor_per_point)


class Settings(RedisSettings, PolicySettings):
    """Of one process of the loyalty service."""
