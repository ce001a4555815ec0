"""A test of a refusal names its reason: a status alone would be that of another refusal as well."""

import ast
from collections.abc import Iterator

from tests.architecture.test_tidy import TREES
from tests.support.syntax import nodes_of


def statuses_alone(tree: ast.AST) -> Iterator[int]:
    """The lines where a status that may be an error's is compared, and no code is."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Compare) and not _has_code(node):
            pairs = _pairs(node.left, node.comparators[0])
            if any(_is_status(one) and _may_be_an_error(other) for one, other in pairs):
                yield node.lineno


def _pairs(left: ast.expr, right: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What is compared with what, either way round; of two tuples item by item."""
    match left, right:
        case ast.Tuple(elts=ours), ast.Tuple(elts=theirs):
            yield from zip(ours, theirs, strict=False)
        case _:
            yield from ((left, right), (right, left))


def _has_code(comparison: ast.Compare) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id == "code")
        or (isinstance(node, ast.Attribute) and node.attr == "code")
        or (isinstance(node, ast.Constant) and node.value == "code")
        for node in ast.walk(comparison)
    )


def _is_status(part: ast.expr) -> bool:
    """One, or those of several answers."""
    match part:
        case ast.Attribute(attr="status_code" | "status"):
            return True
        case ast.SetComp(elt=each) | ast.ListComp(elt=each):
            return _is_status(each)
        case _:
            return False


def _may_be_an_error(part: ast.expr) -> bool:
    """A constant of an error's, one among several, or one that is not known here."""
    match part:
        case ast.Constant(value=int(status)):
            return status >= 400
        case ast.Set(elts=several) | ast.Tuple(elts=several) | ast.List(elts=several):
            return any(map(_may_be_an_error, several))
        case ast.BinOp(left=one, right=other, op=ast.Add()):
            return _may_be_an_error(one) or _may_be_an_error(other)
        case ast.BinOp(left=one, op=ast.Mult()):
            return _may_be_an_error(one)
        case ast.IfExp(body=one, orelse=other):
            return _may_be_an_error(one) or _may_be_an_error(other)
        case ast.Name() | ast.Subscript(slice=ast.Name()):
            return True
        case _:
            return False


def asserted(tree: ast.AST) -> Iterator[ast.Assert]:
    return (node for node in nodes_of(tree) if isinstance(node, ast.Assert))


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
    alone = (
        "answer.status_code == 404",
        "(await wire.answer()).status == 413, why",
        "answer.status_code in {200, 409}",
        "{a.status_code for a in answers} <= {201, 409}",
        "[a.status_code for a in answers] == [201] + [503] * 3",
        "(answer.status_code, answer.headers['Retry-After']) == (503, '1')",
        "answer.status == status",
        "answer.status == (200 if body else 422)",
        "answer.status_code == statuses[kind]",
    )
    named = (
        "answer.status_code == 201",
        "answer.status_code in {200, 202}",
        "row.status == 'Confirmed'",
        "(answer.status, answer.body) == (200, 500)",
        "(answer.status_code, answer.code) == (404, 'not_found')",
        "(answer.status_code, answer.json()['code']) == (status, code)",
        "problem_of(answer) == (404, 'not_found')",
    )
    module = ast.parse("\n".join(f"assert {each}" for each in (*alone, *named)))
    lines = [line for each in asserted(module) for line in statuses_alone(each)]
    assert lines == list(range(1, len(alone) + 1))
