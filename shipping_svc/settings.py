from datetime import timedelta
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.process.settings import ProviderSettings, Seconds
from shipping_svc.domain import POLICY, Policy


class PolicySettings(BaseSettings):
    """What a cancellation costs once somebody has begun to pack, and when a shipment leaves."""

    model_config = SettingsConfigDict(env_prefix="SHIPPING_")

    restocking_bps: int = Field(default=POLICY.restocking_bps, ge=0, le=10_000)
    dispatch_after_s: Seconds = POLICY.dispatch_after.total_seconds()

    @property
    def policy(self) -> Policy:
        return Policy(
            restocking_bps=self.restocking_bps,
            dispatch_after=timedelta(seconds=self.dispatch_after_s),
        )


class Settings(ProviderSettings, PolicySettings):
    """`carrier_script` is the file that holds the simulated carrier's behaviour (see CarrierScript)."""

    carrier_script: Path | None = None

    @field_validator("carrier_script")
    @classmethod
    def _may_be_a_file(cls, script: Path | None) -> Path | None:
        if script is not None and (script.is_dir() or not script.parent.is_dir()):
            raise ValueError("no such file, nor a folder for it")
        return script
