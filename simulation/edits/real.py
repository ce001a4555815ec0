"""Bugs in the real stores: edits of SQL, scripts and leases, each of which named tests have to find."""

from typing import Final

from simulation.edits.postgres import POSTGRES_EDITS
from simulation.edits.redis import REDIS_EDITS

EDITS: Final = {edit.name: edit for edit in (*POSTGRES_EDITS, *REDIS_EDITS)}
