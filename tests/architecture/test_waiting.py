"""A test waits on progress, by `tests/support/waiting.py` alone: no fixed sleep, no loop of its own."""

import ast
import re
from collections.abc import Iterator
from typing import Final

from tests.architecture.test_tidy import TREES
from tests.support.syntax import nodes_of

HELPER: Final = "tests/support/waiting.py"
VIRTUAL: Final = ("tests/contract/kafka/", "tests/chassis/test_backoff.py")
"""Their clock is simulated: a sleep there takes no time."""
ALLOWED: Final = {
    "tests/chassis/test_effects.py": "the time that a provider takes",
    "tests/chassis/test_http_limits.py": "the pace of a client that is slow on purpose",
    "tests/integration/stripe_fixtures.py": "a relay that polls, as production's does",
    "tests/integration/test_cancel.py": "moments that a seed draws, and that are cancelled at",
    "tests/integration/test_rules_brokers.py": "a process that gets no CPU for longer than a session",
    "tests/support/shop.py": "the pace of a load",
}
NAMED: Final = re.compile("_?(until|eventually|await|await_that|wait_for|wait_until)")


def sleeps(tree: ast.AST) -> Iterator[int]:
    """The lines of calls of sleep, but for sleep(0), which lets other tasks run."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Call) and _name(node.func) == "sleep":
            of = node.args[0] if node.args else None
            if not (isinstance(of, ast.Constant) and of.value == 0):
                yield node.lineno


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def waiting_functions(tree: ast.Module) -> Iterator[str]:
    """Functions of a module whose name says that they poll, or that look at the time in a loop."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            loops = (each for each in ast.walk(node) if isinstance(each, ast.While))
            if NAMED.fullmatch(node.name) or any(
                "time.monotonic()" in ast.unparse(x) for x in loops
            ):
                yield node.name


def of_tests() -> Iterator[tuple[str, ast.Module]]:
    for name, tree in TREES.items():
        if name.startswith("tests/") and not name.startswith(VIRTUAL) and name != HELPER:
            yield name, tree


def test_nothing_sleeps_but_for_a_reason() -> None:
    found = {name for name, tree in of_tests() if list(sleeps(tree))}
    assert found == ALLOWED.keys()


def test_there_is_one_way_to_wait() -> None:
    found = {name: set(waiting_functions(tree)) for name, tree in of_tests()}
    assert {name: names for name, names in found.items() if names} == {}


def test_sleeps_and_loops_are_found() -> None:
    module = ast.parse(
        "async def held():\n"
        "    await asyncio.sleep(0)\n"
        "    await asyncio.sleep(0.1)\n"
        "    sleep(pause)\n"
        "def _until(look): ...\n"
        "def settled():\n"
        "    while time.monotonic() < end:\n"
        "        pass\n"
    )
    assert sorted(sleeps(module)) == [3, 4]
    assert list(waiting_functions(module)) == ["_until", "settled"]
