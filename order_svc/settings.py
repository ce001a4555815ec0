from typing import Literal

from pydantic_settings import SettingsConfigDict

from chassis.process.settings import PositiveSeconds, PostgresSettings, Seconds


class Settings(PostgresSettings):
    """A customer is answered when the database has the order, or only when Kafka has it too.

    While every order takes longer than `slow_above_s` to be confirmed, checkouts are let in as fast as
    orders settle, and the rest is answered 429; 0 never refuses.
    """

    model_config = SettingsConfigDict(env_prefix="ORDER_")

    patience_s: PositiveSeconds = 300.0
    slow_above_s: Seconds = 10.0
    acknowledge: Literal["committed", "published"] = "committed"
