"""Why Kafka does not let a client in, or forbids it something: one line that names the setting.

aiokafka says of a start that failed only that it could not bootstrap; the reason is in its log. So a
connection is made here, step by step, once a start has failed.
"""

import asyncio
import ssl
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from chassis.errors import chain_of
from chassis.kafka.cluster import Cluster, Mechanism, Security
from chassis.kafka.permitted import NotPermittedError
from chassis.kafka.refused import NotLetInError
from chassis.kafka.tokens import tokens_of
from chassis.tls import EXPIRED, MISNAMED

STEP_S: Final = 3.0
"""A broker that takes longer for a step is slow, and gives no reason."""
OF_OUR_CERTIFICATE: Final = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE")
"""Parts of the names of alerts that a broker sends about its client's certificate."""


async def start(client: Any, cluster: Cluster) -> None:
    """Start any client. Raises NotLetInError or NotPermittedError where Kafka refuses it."""
    try:
        await client.start()
    except (KafkaError, TimeoutError) as error:
        if missing := missing_right(error, cluster, "use"):
            raise missing from error
        if why := await refusal(cluster):
            raise NotLetInError(why) from error
        raise


def missing_right(error: BaseException, cluster: Cluster, to: str) -> NotPermittedError | None:
    """What right is missing, such as `to` write, and whose it is; None for any other error."""
    what = " ".join(str(arg) for arg in error.args)
    match error:
        case TopicAuthorizationFailedError():
            right = f"no right to {to} topic {what}".rstrip()
        case GroupAuthorizationFailedError():
            right = f"no right to read as group {what}"
        case ClusterAuthorizationFailedError():
            right = "no right to write to any topic"
        case _:
            return None
    setting, who = identity(cluster)
    return NotPermittedError(f"{setting}: Kafka gives {who} {right}")


def identity(cluster: Cluster) -> tuple[str, str]:
    """The setting that says who this client is, and who that is."""
    if cluster.security is Security.SASL_SSL:
        if cluster.mechanism is Mechanism.OAUTHBEARER:
            return cluster.setting("client_id"), f"client {cluster.client_id}"
        return cluster.setting("user"), f"user {cluster.user}"
    if cluster.cert_file:
        return cluster.setting("cert_file"), f"the owner of {cluster.cert_file}"
    return cluster.setting("security"), f"a client without a login ({cluster.security})"


async def refusal(cluster: Cluster) -> str:
    """Why brokers let no client of this cluster in; "" where they do, or do not answer at all."""
    try:
        options = _connection_options(cluster)
    except NotLetInError as error:
        return str(error)
    places = [(host, port) for host, port, _ in collect_hosts(cluster.bootstrap)]
    found = await asyncio.gather(*(_Probe(cluster, options, place).why() for place in places))
    return next(filter(None, found), "")


def _connection_options(cluster: Cluster) -> dict[str, Any]:
    options = cluster.options()
    del options["bootstrap_servers"]
    return {**options, "request_timeout_ms": int(STEP_S * 1000)}


class _Probe:
    """One connection to one broker, and what becomes of it."""

    def __init__(self, cluster: Cluster, options: dict[str, Any], place: tuple[str, int]) -> None:
        self.cluster = cluster
        self.options = options
        self.place = place
        self.at = f"{place[0]}:{place[1]}"

    async def why(self) -> str:
        try:
            connection = await create_conn(*self.place, **self.options)
        except (OSError, KafkaError, TimeoutError, ValueError) as error:
            return await self._of_connecting(error)
        try:
            await connection.send(MetadataRequest([]))
        except (OSError, KafkaError, TimeoutError) as error:
            return self._of_asking(error)
        finally:
            connection.close()
        return ""

    async def _of_connecting(self, error: BaseException) -> str:
        for cause in chain_of(error):
            if why := self._of_tls(cause) or self._of_login(cause):
                return why
        if self.cluster.security is Security.PLAINTEXT:
            if await _speaks_tls(self.place):
                return self._line("security", f"{self.at} speaks TLS, PLAINTEXT does not")
        elif await _speaks_plaintext(self.place):
            return self._line("security", f"{self.at} does not speak TLS")
        return ""

    def _of_tls(self, error: BaseException) -> str:
        of = self.cluster
        if isinstance(error, ssl.SSLCertVerificationError):
            if error.verify_code == EXPIRED:
                return self._line("bootstrap", f"the certificate of {self.at} has expired")
            if error.verify_code in MISNAMED:
                return self._line("bootstrap", f"the certificate of {self.at} is for another host")
            known = of.ca_file or "the system's authorities"
            return self._line("ca_file", f"the certificate of {self.at} is of none of {known}")
        alert = error.reason or "" if isinstance(error, ssl.SSLError) else ""
        if "ALERT" in alert and any(word in alert for word in OF_OUR_CERTIFICATE):
            what = of.cert_file or "a client without a certificate"
            return self._line("cert_file", f"{self.at} refuses {what}")
        return ""

    def _of_login(self, error: BaseException) -> str:
        of = self.cluster
        match error:
            case NotLetInError():  # of a token
                return str(error)
            case UnsupportedSaslMechanismError():
                return self._line("mechanism", f"{self.at} does not take {of.mechanism}")
            case IllegalSaslStateError():
                return self._line("security", f"{self.at} takes no login")
            case SaslAuthenticationFailed() if of.mechanism is Mechanism.OAUTHBEARER:
                return self._refused_token()
            case SaslAuthenticationFailed():
                return self._line("password", f"Kafka refused user {of.user} ({of.mechanism})")
            case ValueError():  # aiokafka's, of the server's part of SCRAM
                return self._line("bootstrap", f"{self.at} does not know the user's password")
            case _:
                return ""

    def _of_asking(self, error: BaseException) -> str:
        """A broker that closes the connection now lacks a login."""
        for cause in chain_of(error):
            if why := self._of_tls(cause):
                return why
        if isinstance(error, TimeoutError) or self.cluster.security is Security.SASL_SSL:
            return ""
        return self._line("security", f"{self.at} asks for a login")

    def _refused_token(self) -> str:
        tokens_of(self.cluster).forget()
        client = f"Kafka refused the token of client {self.cluster.client_id}"
        return self._line("token_url", f"{client} ({self.cluster.token_url})")

    def _line(self, setting: str, why: str) -> str:
        return f"{self.cluster.setting(setting)}: {why}"


async def _speaks_plaintext(place: tuple[str, int]) -> bool:
    try:
        connection: AIOKafkaConnection = await create_conn(
            *place, request_timeout_ms=int(STEP_S * 1000)
        )
    except (OSError, KafkaError, TimeoutError):
        return False
    connection.close()
    return True


async def _speaks_tls(place: tuple[str, int]) -> bool:
    """Nothing is sent, so that it does not matter to whom."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(STEP_S):
            _, writer = await asyncio.open_connection(*place, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
