"""Golden samples of stored states: how each first stood in its service's store. Only added to.

`python -m tests.contract.stored` adds the states that are missing and touches no other.
"""

import sys
from pathlib import Path
from typing import Any, Final, get_args

from pydantic_core import from_json, to_json

from chassis.decide import adapter_of
from tests.domain.samples import Samples
from tests.domain.samples.all import BY_SERVICE

FOLDER: Final = Path(__file__).parent / "stored"


def path_of(service: str) -> Path:
    return FOLDER / f"{service}.json"


def read(service: str) -> dict[str, Any]:
    """The samples of a service: the state's name, as in its row, -> the row's detail."""
    path = path_of(service)
    samples: dict[str, Any] = from_json(path.read_bytes()) if path.exists() else {}
    return samples


def kinds(samples: Samples) -> dict[str, type[Any]]:
    """The states that a service stores; the initial one is the absence of a row."""
    initial = type(samples.service.initial)
    return {kind.__name__: kind for kind in get_args(samples.states) if kind is not initial}


def write_missing() -> list[str]:
    """Add a sample of each state that has none; returns what was added."""
    added = []
    for service, samples in BY_SERVICE.items():
        stored = read(service)
        for name in samples.histories:
            state = samples.own_state(name)
            status = type(state).__name__
            if status in kinds(samples) and status not in stored:
                stored[status] = from_json(adapter_of(type(state)).dump_json(state))
                added.append(f"{service} {status}")
        path_of(service).write_bytes(to_json(stored, indent=2) + b"\n")
    return added


if __name__ == "__main__":
    sys.stdout.write("".join(f"added {name}\n" for name in write_missing()))
