"""How a process is let into Kafka: settings of services and of tools alike."""

from typing import Annotated, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import SettingsConfigDict

from chassis.kafka.cluster import LOGIN_FIELDS, Cluster, Mechanism, Security, needed_and_used
from chassis.kafka.tls import refuse_unusable
from chassis.secret import NO_SECRET, Secret
from chassis.urls import bootstrap_servers, token_url

Bootstrap: TypeAlias = Annotated[str, AfterValidator(bootstrap_servers)]
LoginText: TypeAlias = Annotated[str, Field(validate_default=True)]
LoginSecret: TypeAlias = Annotated[Secret, Field(validate_default=True)]


def upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class KafkaSettings(BaseModel):
    """The fields of `Cluster`, each with `kafka_` before its name.

    What the security and the mechanism need has to be given; what has no effect with them is refused,
    as who gives a password believes that it is asked for.
    """

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    kafka_bootstrap: Bootstrap
    kafka_security: Annotated[Security, BeforeValidator(upper)] = Security.PLAINTEXT
    kafka_mechanism: Annotated[Mechanism, BeforeValidator(upper)] = Mechanism.SCRAM_SHA_512
    kafka_user: LoginText = ""
    kafka_password: LoginSecret = NO_SECRET
    kafka_ca_file: LoginText = ""
    kafka_cert_file: LoginText = ""
    kafka_key_file: LoginText = ""
    kafka_token_url: Annotated[LoginText, AfterValidator(token_url)] = ""
    kafka_client_id: LoginText = ""
    kafka_client_secret: LoginSecret = NO_SECRET
    kafka_scope: LoginText = ""

    @field_validator(*(f"kafka_{name}" for name in LOGIN_FIELDS))
    @classmethod
    def _fits(cls, value: str | Secret, info: ValidationInfo) -> str | Secret:
        security, mechanism = info.data.get("kafka_security"), info.data.get("kafka_mechanism")
        if security is None or mechanism is None:  # its own error says enough
            return value
        needed, used = needed_and_used(security, mechanism)
        how = f"{security} with {mechanism}" if security is Security.SASL_SSL else str(security)
        name = str(info.field_name).removeprefix("kafka_")
        if name in needed and not value:
            raise ValueError(f"it is needed for {how}")
        if value and name not in used:
            raise ValueError(f"it has no effect with {how}")
        if value:
            refuse_unusable(name, str(value))
        return value

    @field_validator("kafka_key_file")
    @classmethod
    def _has_its_certificate(cls, value: str, info: ValidationInfo) -> str:
        certificate: str = info.data.get("kafka_cert_file", value)
        if certificate and not value:
            raise ValueError("it is needed for a certificate")
        if value and not certificate:
            raise ValueError("it has no effect without a certificate")
        if value:
            refuse_unusable("key_file", value, certificate)
        return value

    @property
    def prefix(self) -> str:
        """Of its variables, such as ORDER."""
        return str(self.model_config.get("env_prefix", "")).rstrip("_")

    @property
    def kafka(self) -> Cluster:
        given = {name: getattr(self, f"kafka_{name}") for name in Cluster.names()}
        return Cluster(**given, prefix=self.prefix)
