from pydantic_settings import SettingsConfigDict

from chassis.settings import PostgresSettings


class Settings(PostgresSettings):
    model_config = SettingsConfigDict(env_prefix="SHIPPING_")
