"""saga audit: what operators did, as the services of this folder's stack tell it in their logs."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from saga_cli.ops.options import OneService
from saga_cli.stack import state
from saga_cli.stack.logs import Follow, following
from saga_cli.terminal import fail
from saga_cli.topology import BY_NAME

SHOWN: Final = ("timestamp", "service", "by", "action", "key", "note", "action_id", "trace_id")


def audit(
    service: OneService = None,
    *,
    follow: Follow = False,
) -> None:
    """Print what operators did, an object a line, from the logs of the running stack's services."""
    stack = state.found()
    if stack is None:
        fail(
            "no stack runs in this folder: collect the lines `operator_action` of the services' logs"
        )
    names = (service,) if service else tuple(BY_NAME)
    logs = [p.log for p in stack.processes if p.name.rpartition("-")[0] in names]
    if follow:
        _follow(logs)
        return
    texts = (Path(log).read_text(errors="replace").splitlines() for log in logs)
    found = [action for lines in texts for action in actions(lines)]
    for action in sorted(found, key=lambda each: each["timestamp"]):
        _print(action)


def _follow(logs: Sequence[str]) -> None:
    """With what is there already, file by file."""
    with following(logs, "-q", "-n", "+1", stdout=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        for action in actions(tail.stdout):
            _print(action)


def actions(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Those of a log's lines that tell of an operator; any others are passed over."""
    from chassis.audit import EVENT  # noqa: PLC0415 - with what it needs it is slow

    for line in lines:
        if EVENT not in line:
            continue
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("event") == EVENT:
            yield {name: found[name] for name in SHOWN if name in found}


def _print(action: dict[str, Any]) -> None:
    print(json.dumps(action), flush=True)
