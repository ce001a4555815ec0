"""A broker with TLS, logins and an authorizer: each listener asks for something else."""

import asyncio
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from chassis.kafka import Cluster, admin_client
from chassis.kafka.cluster import Mechanism, Security
from chassis.secret import Secret
from saga_cli.stack import kafka, ports, servers
from saga_cli.stack.authority import Authority, Certificate
from saga_cli.stack.processes import ChildProcess
from tests.support.tokens import AUDIENCE, CLIENT, CLIENT_SECRET, Issuer, issuing
from tests.support.waiting import until

PASSWORDS: Final = {
    name: f"{name}-{secrets.token_hex(8)}" for name in ("admin", "order", "shipping")
}
TOPIC, GROUP, LITERAL, READ, WRITE, ALLOW = 2, 3, 3, 3, 4, 3
"""Numbers of the protocol."""
SHA_256, SHA_512 = 1, 2
ITERATIONS: Final = 4096
OAUTH: Final = "org.apache.kafka.common.security.oauthbearer"
BRIEF_MS: Final = 1000
"""A session of the listener BRIEF."""


@dataclass(frozen=True)
class SecuredBroker:
    """`ports` are by listener."""

    folder: Path
    process: ChildProcess
    authority: Authority
    issuer: Issuer
    ports: dict[str, int]

    def at(self, listener: str, cluster: Cluster) -> Cluster:
        return replace(cluster, bootstrap=f"127.0.0.1:{self.ports[listener]}")

    def user(self, name: str, listener: str = "LOGIN") -> Cluster:
        """By its password."""
        return self.at(
            listener,
            Cluster(
                "",
                Security.SASL_SSL,
                user=name,
                password=Secret(PASSWORDS[name]),
                ca_file=str(self.authority.ca_file),
                prefix=name.upper(),
            ),
        )

    def owner(self, of: Certificate, prefix: str = "ORDER") -> Cluster:
        """By a certificate."""
        ca_file = str(self.authority.ca_file)
        own: dict[str, Any] = {"cert_file": str(of.cert_file), "key_file": str(of.key_file)}
        return self.at("MUTUAL", Cluster("", Security.SSL, ca_file=ca_file, prefix=prefix, **own))

    def client(self) -> Cluster:
        """By a token."""
        return replace(
            self.user("order"),
            mechanism=Mechanism.OAUTHBEARER,
            user="",
            password=Secret(""),
            token_url=self.issuer.url,
            client_id=CLIENT,
            client_secret=Secret(CLIENT_SECRET),
        )

    async def ask(self, request: Any) -> None:
        """As the administrator. The answer has no error."""
        async with admin_client(self.user("admin")) as admin:
            answer = (await admin._send_request(request)).to_object()
        codes = str(answer).split("'error_code': ")[1:]
        assert codes, answer
        assert {code.partition(",")[0].rstrip("}]") for code in codes} == {"0"}, answer

    async def permit(self, user: str, kind: int, name: str, operation: int) -> None:
        await self.ask(CreateAclsRequest(*_right(user, kind, name, operation)))

    async def forbid(self, user: str, kind: int, name: str, operation: int) -> None:
        await self.ask(DeleteAclsRequest(*_right(user, kind, name, operation)))

    async def set_password(self, user: str, password: str, mechanism: int = SHA_512) -> None:
        await self.ask(AlterUsers(user, password, mechanism))

    async def present(self, certificate: Certificate, listener: str) -> None:
        """The listener takes a certificate from its file, without a restart."""
        name = f"listener.name.{listener.lower()}.ssl.keystore"
        settings = {f"{name}.location": str(certificate.both), f"{name}.type": "PEM"}
        async with admin_client(self.user("admin")) as admin:
            broker = ConfigResource(ConfigResourceType.BROKER, "1", settings)
            answers = await admin.alter_configs([broker])
        assert [each[0] for answer in answers for each in answer.resources] == [0], answers


def _right(user: str, kind: int, name: str, operation: int) -> tuple[Any, ...]:
    return kind, name, LITERAL, f"User:{user}", "*", operation, ALLOW


@contextmanager
def secured_broker() -> Iterator[SecuredBroker]:
    names = ("LOGIN", "MUTUAL", "CONTROLLER", "ONLY512", "BRIEF", "PLAIN")
    with ExitStack() as held:
        folder = held.enter_context(servers.private_folder())
        issuer = held.enter_context(issuing())
        keys = folder / "keys.json"
        issuer.write_keys(keys)
        held_ports = {name: ports.hold() for name in names}
        for port in held_ports.values():
            held.callback(port.release)
        numbers = {name: port.number for name, port in held_ports.items()}
        authority = Authority.at(folder / "authority")
        (process,) = kafka.prepare(
            folder, [_broker(numbers, keys)], kafka.Secured(authority, PASSWORDS, _more(keys))
        )
        process.start()
        held.callback(process.kill)
        made = SecuredBroker(folder, process, authority, issuer, numbers)
        until(partial(_answers, made), 60, "an answer of Kafka")
        yield made


def _broker(numbers: dict[str, int], keys: Path) -> kafka.KafkaBroker:
    doors = [
        kafka.Door(name, numbers[name], f"127.0.0.1:{numbers[name]}", protocol)
        for name, protocol in (
            ("ONLY512", "SASL_SSL"),
            ("BRIEF", "SASL_SSL"),
            ("PLAIN", "PLAINTEXT"),
        )
    ]
    trusting = "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls"
    broker = kafka.KafkaBroker(
        "kafka",
        numbers["LOGIN"],
        numbers["CONTROLLER"],
        mutual_port=numbers["MUTUAL"],
        doors=doors,
    )
    options = (*broker.java_options, f"{trusting}={keys.as_uri()}")
    return replace(broker, java_options=options)


def _more(keys: Path) -> dict[str, str]:
    login = "listener.name.login"
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        f"{login}.sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER",
        f"{login}.scram-sha-256.sasl.jaas.config": f"{kafka.SCRAM_MODULE} required;",
        f"{login}.plain.sasl.jaas.config": f"{plain} required {users};",
        f"{login}.oauthbearer.sasl.jaas.config": f"{OAUTH}.OAuthBearerLoginModule required;",
        f"{login}.oauthbearer.sasl.server.callback.handler.class": (
            f"{OAUTH}.OAuthBearerValidatorCallbackHandler"
        ),
        # By default Kafka 4.1 verifies no signature, and of a listener it reads none of the three.
        "sasl.oauthbearer.jwt.validator.class": f"{OAUTH}.BrokerJwtValidator",
        "sasl.oauthbearer.jwks.endpoint.url": keys.as_uri(),
        "sasl.oauthbearer.expected.audience": AUDIENCE,
        "listener.name.brief.connections.max.reauth.ms": str(BRIEF_MS),
    }


def _answers(made: SecuredBroker) -> bool:
    async def list_topics() -> None:
        async with admin_client(made.user("admin")) as admin:
            await admin.list_topics()

    assert made.process.is_alive(), made.process.tail(30)
    with suppress(KafkaError, OSError):
        asyncio.run(list_topics())
        return True
    return False


class AlteredUsers(Response):  # type: ignore[misc]  # aiokafka carries no types
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterUsersStruct(RequestStruct):  # type: ignore[misc]  # aiokafka carries no types
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = AlteredUsers
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterUsers(Request[AlterUsersStruct]):  # type: ignore[misc]  # aiokafka carries no types
    """AlterUserScramCredentials: the password of one user, which aiokafka's administrator lacks."""

    API_KEY = 51

    def __init__(self, user: str, password: str, mechanism: int) -> None:
        digest, salt = {SHA_256: "sha256", SHA_512: "sha512"}[mechanism], secrets.token_bytes(16)
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, ITERATIONS)
        self.upsertion: tuple[Any, ...] = (user, mechanism, ITERATIONS, salt, salted, {})

    def build(self, request_struct_class: type[AlterUsersStruct]) -> AlterUsersStruct:
        return request_struct_class([], [self.upsertion], {})
