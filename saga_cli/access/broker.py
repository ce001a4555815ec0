"""ACLs and settings of topics as Kafka has them: requests that aiokafka's administrator lacks.

It has the protocol's classes for ACLs, each for one entry only; that of settings which changes them one
by one (KIP-339) it lacks, and the other would take back what others have set since.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

ANY, LITERAL, ALLOW, SET = 1, 3, 3, 0
"""Numbers of the protocol: any value of a filter; a pattern, a permission, an operation on a setting."""
RESOURCES: Final = {
    2: "topic",
    3: "group",
    4: "cluster",
    5: "transactional id",
    6: "token",
    7: "user",
}
OPERATIONS: Final = dict(
    enumerate(
        (
            *("ALL", "READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "CLUSTER_ACTION"),
            *("DESCRIBE_CONFIGS", "ALTER_CONFIGS", "IDEMPOTENT_WRITE"),
        ),
        2,
    )
)
SECURITY_DISABLED: Final = 54
TOPIC: Final = 2


class Acl(NamedTuple):
    """An entry with the protocol's numbers, in its order."""

    resource: int
    name: str
    pattern: int
    principal: str
    host: str
    operation: int
    permission: int

    def __str__(self) -> str:
        may = "may" if self.permission == ALLOW else "may not"
        what = RESOURCES.get(self.resource, "resource")
        pattern = "" if self.pattern == LITERAL else "*"
        operation = OPERATIONS.get(self.operation, self.operation)
        return f"{self.principal} {may} {operation} {what} {self.name}{pattern}"


class CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    """Of several entries at once."""

    API_KEY = 30

    def __init__(self, acls: Iterable[Acl]) -> None:
        self.acls = [tuple(acl) for acl in acls]

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(self.acls)


class DeleteAcls(Request[DeleteAclsRequest_v1]):  # type: ignore[misc]
    API_KEY = 31

    def __init__(self, acls: Iterable[Acl]) -> None:
        self.acls = [tuple(acl) for acl in acls]

    def build(self, request_struct_class: type[DeleteAclsRequest_v1]) -> DeleteAclsRequest_v1:
        return request_struct_class(self.acls)


class ChangedConfigs(Response):  # type: ignore[misc]  # aiokafka carries no types
    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class ChangeConfigsStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = ChangedConfigs
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(
                        ("name", String("utf-8")),
                        ("operation", Int8),
                        ("value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class ChangeConfigs(Request[ChangeConfigsStruct]):  # type: ignore[misc]
    """IncrementalAlterConfigs: settings by topic; all others stay as they are."""

    API_KEY = 44

    def __init__(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        self.settings = settings

    def build(self, request_struct_class: type[ChangeConfigsStruct]) -> ChangeConfigsStruct:
        changed = [
            (TOPIC, topic, [(name, SET, value) for name, value in values.items()])
            for topic, values in self.settings.items()
        ]
        validate_only = False
        return request_struct_class(changed, validate_only)


async def acls_of(admin: AIOKafkaAdminClient) -> set[Acl] | None:
    """All that there are; None where the cluster has no authorizer.

    Raises KafkaError, ClusterAuthorizationFailedError for who may not see them.
    """
    everything = DescribeAclsRequest(ANY, None, ANY, None, None, ANY, ANY)
    answer = await _asked(admin, everything)
    if answer["error_code"] == SECURITY_DISABLED:
        return None
    _check(answer)
    return {
        Acl(
            found["resource_type"],
            found["resource_name"],
            found["resource_pattern_type"],
            **{name.removesuffix("_type"): value for name, value in acl.items()},
        )
        for found in answer["resources"]
        for acl in found["acls"]
    }


async def give(admin: AIOKafkaAdminClient, acls: Collection[Acl]) -> None:
    """Raises KafkaError."""
    answer = await _asked(admin, CreateAcls(acls))
    for each in answer["creation_responses"]:
        _check(each)


async def take(admin: AIOKafkaAdminClient, acls: Collection[Acl]) -> None:
    """Those that are not there are no error. Raises KafkaError."""
    answer = await _asked(admin, DeleteAcls(acls))
    for each in answer["filter_responses"]:
        _check(each)


async def change(admin: AIOKafkaAdminClient, settings: Mapping[str, Mapping[str, str]]) -> None:
    """Raises KafkaError."""
    answer = await _asked(admin, ChangeConfigs(settings))
    for each in answer["responses"]:
        _check(each)


async def _asked(admin: AIOKafkaAdminClient, request: Request[Any]) -> dict[str, Any]:
    answer: dict[str, Any] = (await admin._send_request(request)).to_object()  # noqa: SLF001
    return answer


def _check(answer: Mapping[str, Any]) -> None:
    if code := answer["error_code"]:
        error: type[KafkaError] = for_code(code)
        raise error(answer.get("error_message") or "")
