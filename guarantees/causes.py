"""What each service publishes on which message: an event's wire type, a command, a timer or an outcome."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic_core import from_json

Causes = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By service and message, the wire types of what is published in some state of a saga."""
CAUSES: Final[Causes] = {
    service: {cause: tuple(types) for cause, types in causes.items()}
    for service, causes in from_json(Path(__file__).with_name("causes.json").read_bytes()).items()
}
"""Made by asking the rules themselves, on samples of every state and message."""
