"""Bugs in what only real stores and bytes show: edits of the source, each of which named tests find."""

from typing import Final

from simulation.edits.outside import OUTSIDE_EDITS
from simulation.edits.postgres import POSTGRES_EDITS
from simulation.edits.redis import REDIS_EDITS

EDITS: Final = {edit.name: edit for edit in (*POSTGRES_EDITS, *REDIS_EDITS, *OUTSIDE_EDITS)}
