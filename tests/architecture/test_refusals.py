"""A test of a refusal names its reason: a status alone would be that of another refusal as well."""

import ast
from collections.abc import Iterator

from tests.architecture.test_tidy import TREES


def statuses_alone(tree: ast.AST) -> Iterator[int]:
    """The lines where a status is compared with that of an error, and nothing else is."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(
                left=ast.Attribute(attr="status_code" | "status"),
                ops=[ast.Eq()],
                comparators=[ast.Constant(value=int(status))],
            ) if status >= 400:
                yield node.lineno


def asserted(tree: ast.AST) -> Iterator[ast.Assert]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Assert))


def test_a_refusal_is_asserted_with_its_reason() -> None:
    found = {
        f"{name}:{line}"
        for name, tree in TREES.items()
        if name.startswith("tests/")
        for statement in asserted(tree)
        for line in statuses_alone(statement)
    }
    assert found == set()


def test_a_status_alone_is_noticed() -> None:
    module = ast.parse(
        "assert answer.status_code == 404\n"
        "assert (await wire.answer()).status == 413, why\n"
        "assert answer.status_code == 201\n"
        "assert (answer.status_code, answer.code) == (404, 'not_found')\n"
    )
    lines = [line for each in asserted(module) for line in statuses_alone(each)]
    assert lines == [1, 2]
