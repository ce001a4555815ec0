"""A test goes by the surface of what it tests: it reads and replaces no private attribute of the product."""

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from tests.architecture.test_tidy import TREES
from tests.support.syntax import nodes_of

OWN: Final = {"self", "cls"}
LIBRARIES: Final = {
    "_TRACER_PROVIDER": "opentelemetry's",
    "_asdict": "a named tuple's",
    "_assignors": "aiokafka's",
    "_auto_offset_reset": "aiokafka's",
    "_batches": "aiokafka's",
    "_connect_args": "asyncpg's",
    "_connection_arguments": "redis-py's",
    "_coordinator": "aiokafka's",
    "_enable_auto_commit": "aiokafka's",
    "_exit": "the operating system's",
    "_group_instance_id": "aiokafka's",
    "_heartbeat_interval_ms": "aiokafka's",
    "_key_deserializer": "aiokafka's",
    "_message_accumulator": "aiokafka's",
    "_name": "prometheus_client's",
    "_partition_assignment_strategy": "aiokafka's",
    "_replace": "a named tuple's",
    "_send_request": "aiokafka's",
    "_session_timeout_ms": "aiokafka's",
    "_transport": "httpx'",
    "_value_deserializer": "aiokafka's",
    "_waiters": "asyncio's",
}
"""What has no public name where it is looked at, and whose it is."""


def private_in(tree: ast.AST) -> Iterator[str]:
    """Private attributes of anything but the test's own objects, and private names that are imported."""
    defined = {_defined(node) for node in nodes_of(tree)}
    for node in nodes_of(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            is_own = isinstance(node.value, ast.Name) and node.value.id in OWN
            if not is_own and node.attr not in LIBRARIES.keys() | defined:
                yield node.attr


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _defined(node: ast.AST) -> str:
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
            return name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name
        case ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return ""


def test_no_test_goes_by_private_names() -> None:
    found = {
        name: sorted(used)
        for name, tree in TREES.items()
        if name.startswith("tests/") and (used := set(private_in(tree)))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("assert cache._own == {}", ["_own"]),
        ("store._leading = None", ["_leading"]),
        ("from chassis.kafka.clients import _cut_off", ["_cut_off"]),
        ("super()._decided(event)", ["_decided"]),
        ("self._own", []),
        ("class A:\n    def _own(self): ...\nA()._own()", []),
        ("assert client._enable_auto_commit is False", []),
    ],
)
def test_private_names_are_found(source: str, found: list[str]) -> None:
    assert list(private_in(ast.parse(source))) == found
