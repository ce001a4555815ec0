from pydantic_settings import SettingsConfigDict

from chassis.settings import RedisUrl, ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="LOYALTY_")

    redis_url: RedisUrl
