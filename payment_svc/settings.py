from pydantic_settings import SettingsConfigDict

from chassis.settings import ProviderSettings


class Settings(ProviderSettings):
    model_config = SettingsConfigDict(env_prefix="PAYMENT_")
