"""Bugs in what only real stores, bytes, logins and callers show: edits, each of which named tests find."""

from itertools import chain
from typing import Final

from simulation.edits.access import ACCESS_EDITS
from simulation.edits.console import CONSOLE_EDITS
from simulation.edits.console_pages import CONSOLE_PAGE_EDITS
from simulation.edits.deploys import DEPLOY_EDITS
from simulation.edits.kafka import KAFKA_EDITS
from simulation.edits.kubernetes import KUBERNETES_EDITS
from simulation.edits.measured import MEASURED_EDITS
from simulation.edits.observed import OBSERVED_EDITS
from simulation.edits.outside import OUTSIDE_EDITS
from simulation.edits.postgres import POSTGRES_EDITS
from simulation.edits.redis import REDIS_EDITS
from simulation.edits.rights import RIGHTS_EDITS
from simulation.edits.sentinels import SENTINEL_EDITS
from simulation.edits.streams import STREAM_EDITS
from simulation.edits.traces import TRACE_EDITS

ALL: Final = chain(
    POSTGRES_EDITS,
    REDIS_EDITS,
    SENTINEL_EDITS,
    OUTSIDE_EDITS,
    ACCESS_EDITS,
    KAFKA_EDITS,
    MEASURED_EDITS,
    OBSERVED_EDITS,
    RIGHTS_EDITS,
    STREAM_EDITS,
    TRACE_EDITS,
    CONSOLE_EDITS,
    CONSOLE_PAGE_EDITS,
    DEPLOY_EDITS,
    KUBERNETES_EDITS,
)
EDITS: Final = {edit.name: edit for edit in ALL}
