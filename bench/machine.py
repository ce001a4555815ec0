"""On what it is measured: figures of another machine, or of a busy one, are other figures."""

import os
import platform
from dataclasses import dataclass
from typing import Final

import psutil

LOOK_S: Final = 1.0
QUIET_PERCENT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """`busy_percent` of its CPU was used by others before anything was started."""

    cores: int
    memory_gb: float
    system: str
    python: str
    busy_percent: float

    @property
    def is_quiet(self) -> bool:
        return self.busy_percent < QUIET_PERCENT


def this_one() -> Machine:
    """Looks on for a second."""
    return Machine(
        os.cpu_count() or 1,
        round(psutil.virtual_memory().total / 1e9, 1),
        platform.platform(),
        platform.python_version(),
        psutil.cpu_percent(LOOK_S),
    )
