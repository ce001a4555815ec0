from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.settings import ProviderSettings
from shipping_svc.domain import POLICY, Policy


class PolicySettings(BaseSettings):
    """What a cancellation costs once somebody has begun to pack, and when a shipment leaves."""

    model_config = SettingsConfigDict(env_prefix="SHIPPING_")

    restocking_bps: int = Field(default=POLICY.restocking_bps, ge=0, le=10_000)
    dispatch_after_s: float = Field(default=POLICY.dispatch_after.total_seconds(), ge=0)

    @property
    def policy(self) -> Policy:
        return Policy(
            restocking_bps=self.restocking_bps,
            dispatch_after=timedelta(seconds=self.dispatch_after_s),
        )


class Settings(ProviderSettings, PolicySettings):
    """`carrier_script` is the file that holds the simulated carrier's mood (see carrier.Mood)."""

    carrier_script: Path | None = None
