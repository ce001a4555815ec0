"""A Kafka cluster: where it is, and how a client is let in."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from chassis import clock
from chassis.errors import SecretError
from chassis.kafka.refused import NotLetInError
from chassis.kafka.tls import UnusableFileError, context_of
from chassis.kafka.tokens import tokens_of
from chassis.secret import NO_SECRET, Secret


class Security(StrEnum):
    """What a listener asks of a client: nothing, TLS, or a login over TLS."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_SSL = "SASL_SSL"


class Mechanism(StrEnum):
    """How a client logs in, where the security is SASL_SSL."""

    SCRAM_SHA_512 = "SCRAM-SHA-512"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"
    OAUTHBEARER = "OAUTHBEARER"


TLS_FIELDS: Final = frozenset({"ca_file", "cert_file", "key_file"})
PASSWORD_FIELDS: Final = frozenset({"user", "password"})
TOKEN_FIELDS: Final = frozenset({"token_url", "client_id", "client_secret"})
LOGIN_FIELDS: Final = PASSWORD_FIELDS | TLS_FIELDS | TOKEN_FIELDS | {"scope"}
"""Of a `Cluster`: what depends on its security and mechanism."""


def needed_and_used(
    security: Security, mechanism: Mechanism
) -> tuple[frozenset[str], frozenset[str]]:
    """Which fields of a `Cluster` have to be given, and which have an effect, of LOGIN_FIELDS."""
    if security is Security.PLAINTEXT:
        return frozenset(), frozenset()
    if security is Security.SSL:
        return frozenset(), TLS_FIELDS
    if mechanism is Mechanism.OAUTHBEARER:
        return TOKEN_FIELDS, TOKEN_FIELDS | TLS_FIELDS | {"scope"}
    return PASSWORD_FIELDS, PASSWORD_FIELDS | TLS_FIELDS


@dataclass(frozen=True, slots=True)
class Cluster:
    """A field is named as the setting that it comes from, without X_KAFKA_; `prefix` is that X.

    `bootstrap` is host:port, or several with commas between. Files are named, and read for each client
    anew, as what they hold is renewed.
    """

    bootstrap: str
    security: Security = Security.PLAINTEXT
    mechanism: Mechanism = Mechanism.SCRAM_SHA_512
    user: str = ""
    password: Secret = NO_SECRET
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    token_url: str = ""
    client_id: str = ""
    client_secret: Secret = NO_SECRET
    scope: str = ""
    prefix: str = field(default="SAGA", compare=False)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The fields that are settings."""
        return tuple(each.name for each in fields(cls) if each.compare)

    def setting(self, name: str) -> str:
        """The variable that a field comes from."""
        return f"{self.prefix}_KAFKA_{name}".lstrip("_").upper()

    def variables(self, prefix: str) -> dict[str, str]:
        """The variables from which a process with that prefix makes the same; it holds secrets."""
        return {f"{prefix}_KAFKA_{name.upper()}": text for name, text in self._given()}

    def _given(self) -> Iterator[tuple[str, str]]:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in self.names() and value != each.default:
                is_secret = isinstance(value, Secret)
                yield each.name, value.read() if is_secret else str(value)

    def options(self) -> dict[str, Any]:
        """The keyword arguments that any client of aiokafka takes of it.

        Raises NotLetInError where a file can't be used.
        """
        given: dict[str, Any] = {"bootstrap_servers": self.bootstrap}
        if self.security is not Security.PLAINTEXT:
            given |= {"security_protocol": self.security.value, "ssl_context": self.tls()}
        if self.security is Security.SASL_SSL:
            given |= {"sasl_mechanism": self.mechanism.value, **self._login()}
        return given

    def _login(self) -> dict[str, Any]:
        if self.mechanism is Mechanism.OAUTHBEARER:
            return {"sasl_oauth_token_provider": tokens_of(self)}
        try:
            password = self.password.read()
        except SecretError as error:
            raise NotLetInError(str(error)) from error
        return {"sasl_plain_username": self.user, "sasl_plain_password": password}

    def tls(self) -> ssl.SSLContext:
        """What a TLS connection is made with. Raises NotLetInError where a file can't be used."""
        try:
            return context_of(self.ca_file, self.cert_file, self.key_file, clock.now())
        except UnusableFileError as error:
            raise NotLetInError(f"{self.setting(error.field)}: {error}") from error
