"""Today's code reads the rows of every release before: a state is never given up for a new form."""

from typing import Any

import pytest
from pydantic_core import from_json, to_json

from chassis.decide import adapter_of
from guarantees.declared import tables_of
from guarantees.services import WITH_DATABASE
from loyalty_svc.store import AWARDS
from tests.contract.stored import kinds, read
from tests.contract.test_wire import without_additions
from tests.domain.samples import Samples
from tests.domain.samples.all import BY_SERVICE

STORED = [
    pytest.param(service, status, id=f"{service} {status}")
    for service in BY_SERVICE
    for status in read(service)
]
each_service = pytest.mark.parametrize("samples", BY_SERVICE.values(), ids=BY_SERVICE.keys())


def as_read(service: str, status: str, detail: Any) -> Any:
    """As the service's store reads a row."""
    text = to_json(detail).decode()
    if service in WITH_DATABASE:
        return tables_of(service)[0].state_of(status, text)
    return AWARDS.state_of(status, text)


@pytest.mark.parametrize(("service", "status"), STORED)
def test_a_stored_state_is_read_and_written_again_as_it_was(service: str, status: str) -> None:
    detail = read(service)[status]
    state = as_read(service, status, detail)
    assert type(state).__name__ == status
    written = from_json(adapter_of(type(state)).dump_json(state))
    assert without_additions(written, detail) == detail


@pytest.mark.parametrize(("service", "status"), STORED)
def test_a_field_that_a_newer_release_added_is_no_error(service: str, status: str) -> None:
    detail = read(service)[status]
    newer = as_read(service, status, detail | {"a_newer_field": [1]})
    assert newer == as_read(service, status, detail)


@each_service
def test_every_state_that_is_stored_has_a_sample(samples: Samples) -> None:
    missing = set(kinds(samples)) - set(read(samples.service.name))
    assert missing == set(), "run python -m tests.contract.stored"
