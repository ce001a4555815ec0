"""Bugs in what only real stores, bytes and callers show: edits, each of which named tests find."""

from typing import Final

from simulation.edits.access import ACCESS_EDITS
from simulation.edits.outside import OUTSIDE_EDITS
from simulation.edits.postgres import POSTGRES_EDITS
from simulation.edits.redis import REDIS_EDITS

_ALL: Final = (*POSTGRES_EDITS, *REDIS_EDITS, *OUTSIDE_EDITS, *ACCESS_EDITS)
EDITS: Final = {edit.name: edit for edit in _ALL}
