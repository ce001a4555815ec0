from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from chassis.process.settings import DatabaseSettings, HttpUrl
from guarantees.services import BY_NAME

ServiceUrls = Mapping[str, tuple[str, ...]]


def _of_services(urls: ServiceUrls) -> ServiceUrls:
    """Raises ValueError for a name that is no service's."""
    if unknown := sorted(urls.keys() - BY_NAME.keys()):
        raise ValueError(f"there is no service {unknown[0]}: {', '.join(BY_NAME)}")
    return urls


class ConsoleSettings(DatabaseSettings):
    """`services` are base URLs of each service's processes, as JSON: {"order": ["http://order:8001"]}.

    What is asked there has no answer for a service that is not among them.
    """

    model_config = SettingsConfigDict(env_prefix="CONSOLE_")

    services: Annotated[Mapping[str, tuple[HttpUrl, ...]], AfterValidator(_of_services)] = Field(
        default_factory=dict
    )
