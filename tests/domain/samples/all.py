"""The samples of all services, each in the module here that has the service's name."""

from importlib import import_module
from types import MappingProxyType
from typing import Final

from guarantees.services import BY_NAME
from tests.domain.samples import Samples


def _samples_of(name: str) -> Samples:
    found: Samples = import_module(f"tests.domain.samples.{name}").SAMPLES
    return found


BY_SERVICE: Final = MappingProxyType({name: _samples_of(name) for name in BY_NAME})
