"""A Kafka cluster: where it is, and how a client is let in."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

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

        Raises OSError, which names the setting, where a file can't be used.
        """
        given: dict[str, Any] = {"bootstrap_servers": self.bootstrap}
        if self.security is not Security.PLAINTEXT:
            given |= {"security_protocol": self.security.value, "ssl_context": self.tls()}
        if self.security is Security.SASL_SSL:
            given |= {
                "sasl_mechanism": self.mechanism.value,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password.read(),
            }
        return given

    def tls(self) -> ssl.SSLContext:
        """What a TLS connection is made with; the broker's certificate has to be for its host name."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:
            raise self._unusable("ca_file", "no certificate (PEM)", error) from error
        if self.cert_file:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password=_no_passphrase)
            except OSError as error:
                name = "key_file" if _is_readable(self.cert_file) else "cert_file"
                what = "no certificate (PEM) and its key, without a passphrase"
                raise self._unusable(name, what, error) from error
        return context

    def _unusable(self, name: str, what: str, error: OSError) -> OSError:
        why = what if isinstance(error, ssl.SSLError) else error.strerror or what
        return OSError(f"{self.setting(name)}: {getattr(self, name)}: {why}")


def _is_readable(file: str) -> bool:
    try:
        Path(file).read_bytes()
    except OSError:
        return False
    return True


def _no_passphrase() -> str:
    """Else a key that has one would be asked for at the terminal."""
    return ""
