"""Rights as other tools take them: commands of `kafka-acls`, Strimzi's `KafkaUser`s, JSON."""

import json
import shlex
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import groupby
from typing import Final

from saga_cli.access.right import Right

PLACE: Final = '--bootstrap-server "$BOOTSTRAP" --command-config "$ADMIN_PROPERTIES"'
USER: Final = """\
apiVersion: kafka.strimzi.io/v1
kind: KafkaUser
metadata:
  name: {principal}
  labels:
    strimzi.io/cluster: {cluster}
spec:
  authentication:
    type: scram-sha-512
  authorization:
    type: simple
    acls:
{acls}"""
ACL: Final = """\
      - resource: {{type: {resource}, name: {name}, patternType: literal}}
        operations: [{operations}]
"""


class Format(StrEnum):
    KAFKA_ACLS = "kafka-acls"
    STRIMZI = "strimzi"
    JSON = "json"


def shown(rights: Iterable[Right], form: Format, cluster: str) -> str:
    """Text that ends with a line's end. `cluster` is the name of Strimzi's Kafka."""
    match form:
        case Format.KAFKA_ACLS:
            return "".join(f"{command}\n" for command in _commands(rights))
        case Format.STRIMZI:
            return "---\n".join(_users(rights, cluster))
        case Format.JSON:
            return json.dumps([*map(_entry, rights)], indent=1) + "\n"


def _commands(rights: Iterable[Right]) -> Iterator[str]:
    """One for each principal, kind of resource and operation."""
    by = groupby(sorted(rights, key=_kind), _kind)
    for (principal, resource, operation), some in by:
        words = ["--allow-principal", f"User:{principal}", "--operation", _camel_case(operation)]
        words += [word for right in some for word in (f"--{resource}", right.name)]
        yield f"kafka-acls {PLACE} --add --force {shlex.join(words)}"


def _kind(right: Right) -> tuple[str, str, str]:
    return right.principal, right.resource, right.operation


def _users(rights: Iterable[Right], cluster: str) -> Iterator[str]:
    for principal, own in groupby(rights, lambda r: r.principal):
        acls = [
            ACL.format(
                resource=resource,
                name=name,
                operations=", ".join(_camel_case(right.operation) for right in same),
            )
            for (resource, name), same in groupby(own, lambda r: (r.resource, r.name))
        ]
        yield USER.format(principal=principal, cluster=cluster, acls="".join(acls))


def _entry(right: Right) -> dict[str, str]:
    """As Kafka lists an ACL."""
    return {
        "principal": f"User:{right.principal}",
        "host": "*",
        "resourceType": right.resource.upper(),
        "patternType": "LITERAL",
        "name": right.name,
        "operation": right.operation,
        "permissionType": "ALLOW",
    }


def _camel_case(operation: str) -> str:
    return "".join(part.capitalize() for part in operation.split("_"))
