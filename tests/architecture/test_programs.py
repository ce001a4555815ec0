"""Commands of the pages other than `saga` and requests: targets, modules, options and files are there.

`saga ...` and `curl ...` are run by `tests/integration/test_documented.py`. Here nothing is started but
`make --dry-run` and `--help` of a module: what a command does takes minutes, a Docker engine, or writes
files of the repository.
"""

import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from itertools import dropwhile
from typing import Final

import pytest

from bench.peers.run import arguments
from loyalty_svc.store import KEYS
from saga_cli.topology import PROCESSES
from tests.architecture.test_commands import wrong_with
from tests.architecture.test_tidy import ROOT
from tests.support.documented import Documented, commands, strangers

pytestmark = pytest.mark.long(25)

KUBECTL: Final = frozenset(
    ["apply", "cnpg", "create", "delete", "get", "patch", "rollout", "scale"]
)
"""What the pages use of it; `cnpg` is CloudNativePG's plugin."""
NOT_COMMANDS: Final = (
    "order ==order.placed==> ",
    "^   <-stock.rejected- ",
    "|   <-stock.released- ",
    "+====",
    "topic=order.forward/day=",
    "cores(rate) = ",
    "set -a; . .secrets/tools.env; ",
)
"""How lines of plain blocks begin that are a picture, the name of a file, or a formula; and variables
that are read from a file (tests/cli/test_mounted.py)."""
VARIABLE: Final = re.compile(r"[A-Z_]+=")
MAKEFILE: Final = (ROOT / "Makefile").read_text("utf-8")
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text("utf-8")
TARGETS: Final = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
EXAMPLES: Final = re.findall(r'^([a-z]+):.*##.*(ARGS="[^"]*")', MAKEFILE, re.MULTILINE)
OTHERS: Final = [each for each in commands().values() if each.words[0] not in {"saga", "curl"}]


def wrong_with_program(words: list[str]) -> str:
    """What a command names that is not there; "" if all of it is."""
    match list(dropwhile(VARIABLE.match, words)):
        case ["make", target, *variables]:
            return wrong_with_target(target, variables)
        case ["python", "-m", module, *options]:
            return wrong_with_module(module, options)
        case ["uv", "run", "--project", project, *more]:
            files = [f"{project}/{name}" for name in ("pyproject.toml", "uv.lock")]
            if missing := [name for name in files if not (ROOT / name).is_file()]:
                return f"there is no {missing[0]}"
            return wrong_with_program(more[more.index("python") :])
        case ["python" | "sh" | "spark-submit", program, *_]:
            return "" if (ROOT / program).is_file() else f"there is no {program}"
        case ["docker", "build", "--target", stage, *more]:
            if re.search(rf"^FROM .+ AS {stage}$", DOCKERFILE, re.MULTILINE) is None:
                return f"Dockerfile has no stage {stage}"
            return wrong_with_program(["docker", "build", *more])
        case ["docker", "build", "--build-arg", argument, _]:
            known = f"ARG {argument.partition('=')[0]}\n" in DOCKERFILE
            return "" if known else f"Dockerfile has no ARG {argument}"
        case ["docker", "compose", *words]:
            return wrong_with_compose(words)
        case ["helm" | "kubectl", *_] as command:
            return wrong_with_cluster_command(command)
        case ["redis-cli", "-n", "0", "SET", key, "1"]:
            return "" if key == KEYS.rebuild_begun else f"no service reads {key}"
        case _:
            return "nothing here tells how it is checked"


def wrong_with_target(target: str, variables: list[str]) -> str:
    """Of what a target would run with these variables, each `saga` and each module is checked."""
    command = ["make", "--dry-run", target, *variables]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if ended.returncode:
        return ended.stderr
    found = [wrong_with(words) for words in re.findall(r"-sync saga (.+)", ended.stdout)]
    for module, options in re.findall(r"-sync python -m (\S+)(.*)", ended.stdout):
        found.append(wrong_with_module(module, options.split()))
    return "; ".join(filter(None, found))


def wrong_with_module(module: str, words: list[str]) -> str:
    if find_spec(module) is None:
        return f"there is no module {module}"
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    if not options:
        return ""
    # a peer lists its own options where its libraries are
    is_peer = module == "bench.peers.run"
    known = arguments(words[0]).format_help() if is_peer else help_of(module)
    return "; ".join(f"{module} has no {o}" for o in options if not re.search(rf"{o}\b", known))


def wrong_with_cluster_command(command: list[str]) -> str:
    """Charts, files and releases are those of the repository; which cluster, nobody knows here."""
    if missing := [word for word in command if is_missing(word)]:
        return f"there is no {missing[0]}"
    match command:
        case ["helm", "upgrade", *words]:
            releases = {spec.name for spec in PROCESSES} | {"checkout"}
            named = next((word for word in words if not word.startswith("-")), "checkout")
            return "" if named in releases else f"there is no release {named}"
        case ["helm", "dependency" | "rollback" | "uninstall", *_]:
            return ""
        case ["kubectl", word, *_] if word in KUBECTL:
            return ""
        case _:
            return f"nothing here tells how {' '.join(command[:2])} is checked"


def is_missing(word: str) -> bool:
    """A path of the repository that is not there."""
    return word.startswith("deploy/") and not (ROOT / word).exists()


def wrong_with_compose(words: list[str]) -> str:
    options = list(words)
    while options[:1] == ["-f"]:
        if not (ROOT / options[1]).is_file():
            return f"there is no {options[1]}"
        options = options[2:]
    asked = [str(ROOT / ".venv" / "bin" / "docker-compose"), *options[:1], "--help"]
    known = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    if f"docker compose {options[0]} " not in known:
        return f"docker compose has no {options[0]}"
    unknown = [word for word in options[1:] if not re.search(rf"{word}\b", known)]
    return f"docker compose {options[0]} has no {unknown[0]}" if unknown else ""


@cache
def help_of(module: str) -> str:
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize("documented", OTHERS, ids=[each.text for each in OTHERS])
def test_what_a_documented_command_names_is_there(documented: Documented) -> None:
    assert wrong_with_program(documented.words) == "", documented


@pytest.mark.parametrize("target", TARGETS[1].split() if TARGETS else [])
def test_make_has_each_target(target: str) -> None:
    assert wrong_with_target(target, []) == ""


@pytest.mark.parametrize(("target", "variable"), EXAMPLES)
def test_make_takes_the_arguments_that_its_help_shows(target: str, variable: str) -> None:
    assert wrong_with_target(target, [variable.replace('"', "")]) == ""


def test_a_line_of_a_plain_block_that_no_test_knows_is_found() -> None:
    assert [line for line in strangers() if not line.startswith(NOT_COMMANDS)] == []


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("make benhc", "No rule to make target 'benhc'"),
        ("make chaos ARGS=--sead=7", "No such option: --sead"),
        ("make bench ARGS=--fast", "bench has no --fast"),
        ("helm upgrade order deploy/helm/chart", "there is no deploy/helm/chart"),
        ("helm upgrade bank deploy/helm/checkout-service", "there is no release bank"),
        ("kubectl apply -f deploy/none.yaml", "there is no deploy/none.yaml"),
        ("python -m bench.rebuilt", "there is no module bench.rebuilt"),
        ("python -m bench.peers.run dbos --in-fright 4", "bench.peers.run has no --in-fright"),
        ("uv run --project deploy/flink python report.py", "there is no deploy/flink"),
        ("spark-submit deploy/spark/reports.py", "there is no deploy/spark/reports.py"),
        ("sh scripts/apiserver.sh bin/x", "there is no scripts/apiserver.sh"),
        ("python -m tests.kube_api --crd x", "tests.kube_api has no --crd"),
        ("docker build --build-arg NAME=order .", "Dockerfile has no ARG NAME=order"),
        ("docker build --target shop --build-arg SERVICE=order .", "Dockerfile has no stage shop"),
        ("docker compose -f compose.secured.yaml up", "there is no compose.secured.yaml"),
        ("docker compose -f compose.yaml start-up", "docker compose has no start-up"),
        ("docker compose up --secure", "docker compose up has no --secure"),
        ("redis-cli -n 0 SET loyalty:rebuild 1", "no service reads loyalty:rebuild"),
        ("psql -c x", "nothing here tells how it is checked"),
    ],
)
def test_what_is_not_there_is_noticed(words: str, wrong: str) -> None:
    assert wrong in wrong_with_program(words.split())
