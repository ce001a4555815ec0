from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from chassis.process.settings import DatabaseSettings, Days, HttpUrl
from chassis.secret import NO_SECRET, Secret
from guarantees.services import BY_NAME

ServiceUrls = Mapping[str, tuple[str, ...]]


def _of_services(urls: ServiceUrls) -> ServiceUrls:
    """Raises ValueError for a name that is no service's."""
    if unknown := sorted(urls.keys() - BY_NAME.keys()):
        raise ValueError(f"there is no service {unknown[0]}: {', '.join(BY_NAME)}")
    return urls


class ConsoleSettings(DatabaseSettings):
    """`services` are base URLs of each service's processes, as JSON: {"order": ["http://order:8001"]}.

    What is asked there has no answer for a service that is not among them. Orders that have been settled and
    quiet for `keep_days` are dropped. With `oidc_client_id` one signs in
    at the issuer of access tokens, as a client that it knows by that id; `oidc_scope` is what is asked of it.
    `public_url` is where browsers reach the console, `trace_url` the page of a trace, with {trace_id} in it.
    """

    model_config = SettingsConfigDict(env_prefix="CONSOLE_")

    services: Annotated[Mapping[str, tuple[HttpUrl, ...]], AfterValidator(_of_services)] = Field(
        default_factory=dict
    )
    keep_days: Annotated[Days, Field(ge=1)] = 90
    oidc_client_id: str = Field(default="", pattern=r"^[ -~]*$")
    oidc_client_secret: Secret = NO_SECRET
    oidc_scope: str = Field(default="openid view operate audit", pattern=r"^[ -~]+$")
    public_url: HttpUrl | None = Field(default=None, validate_default=True)
    trace_url: HttpUrl | None = None

    @field_validator("oidc_client_id")
    @classmethod
    def _has_an_issuer(cls, client_id: str, info: ValidationInfo) -> str:
        if client_id and info.data.get("auth") == "off":
            raise ValueError(
                "it has no effect where nobody is asked who they are (CONSOLE_AUTH=off)"
            )
        return client_id

    @field_validator("oidc_client_secret")
    @classmethod
    def _is_of_a_client(cls, secret: Secret, info: ValidationInfo) -> Secret:
        if secret and not info.data.get("oidc_client_id"):
            raise ValueError("it has no effect without CONSOLE_OIDC_CLIENT_ID")
        return secret

    @field_validator("oidc_scope")
    @classmethod
    def _is_of_openid(cls, scope: str) -> str:
        if "openid" not in scope.split():
            raise ValueError("without `openid` it is no sign-in")
        return scope

    @field_validator("public_url")
    @classmethod
    def _is_where_the_issuer_sends_back(cls, url: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("oidc_client_id") and url is None:
            raise ValueError("the issuer sends browsers back there: https://console.example.com")
        if url and info.data.get("profile") == "production" and not url.startswith("https://"):
            raise ValueError("in production it begins with https://")
        return url
