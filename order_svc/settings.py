from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.process.settings import Milliseconds, PositiveSeconds, PostgresSettings, Seconds


class Settings(PostgresSettings):
    """A customer is answered when the database has the order, or only when Kafka has it too.

    While every order takes longer than `slow_above_s` to be confirmed, checkouts are let in as fast as
    orders settle, and the rest is answered 429; 0 never refuses.

    Under load orders are sent on in batches, one each `send_every_ms`, that stay together on their way, and
    new customers are given their pseudonyms in batches twice as often.

    `event_streams_max` is how many orders may be followed at once; `example_page` serves a page that does.
    """

    model_config = SettingsConfigDict(env_prefix="ORDER_")

    send_every_ms: Milliseconds = 125
    patience_s: PositiveSeconds = 300.0
    slow_above_s: Seconds = 10.0
    acknowledge: Literal["committed", "published"] = "committed"
    event_streams_max: Annotated[int, Field(ge=0, le=100_000)] = 500
    example_page: bool = False
