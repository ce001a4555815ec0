"""docs/asyncapi.yaml is an AsyncAPI document, and what has been published is as it says."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from pydantic_asyncapi.v3 import AsyncAPI
from pydantic_core import from_json

from saga_cli.topology import SERVICES
from shared_events.catalog import CATALOG
from tests.asyncapi import asyncapi_page, document
from tests.contract.golden import FOLDER, Golden, read

DOCUMENT: Final = document()
GOLDENS: Final = [read(path) for path in sorted(FOLDER.glob("*.json"))]
NEWEST: Final = [
    golden for golden in GOLDENS if CATALOG.by_type[golden.type].wire_type == golden.type
]


def test_the_page_is_the_document() -> None:
    assert yaml.safe_load(asyncapi_page()) == DOCUMENT


def test_it_has_the_form_of_asyncapi_3() -> None:
    """And no key that the specification does not know. The models lack Kafka's binding of messages."""
    result = deepcopy(DOCUMENT)
    for message in result["components"]["messages"].values():
        message.pop("bindings", None)
    parsed = AsyncAPI.model_validate(result)
    assert parsed.asyncapi == "3.0.0"
    assert list(strangers(parsed)) == []


def strangers(model: Any) -> Iterator[str]:
    """Keys that a model of the specification has no field for. Schemas may have any."""
    if isinstance(model, BaseModel):
        yield from model.model_extra or {}
        for name in type(model).model_fields:
            if name not in {"headers", "payload", "schemas", "bindings"}:
                yield from strangers(getattr(model, name))
    elif isinstance(model, dict):
        for part in model.values():
            yield from strangers(part)


@pytest.mark.parametrize("place", ["channels", "operations"])
def test_a_key_that_the_specification_does_not_know_is_noticed(place: str) -> None:
    result = deepcopy(DOCUMENT)
    del result["components"]
    next(iter(result[place].values()))["adress"] = "x"
    assert list(strangers(AsyncAPI.model_validate(result))) == ["adress"]


def shared_keys(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (part[name] for name in part if name == "$ref")
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for each in parts:
        yield from shared_keys(each)


def resolved(reference: str) -> Any:
    place: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        place = place[name]
    return place


def test_every_reference_leads_somewhere() -> None:
    found = set(shared_keys(DOCUMENT))
    assert len(found) > len(CATALOG.entries)
    assert all(resolved(reference) for reference in found)


def test_every_event_has_one_sender_and_every_service_sends_and_receives() -> None:
    operations = DOCUMENT["operations"]
    sent = [m["$ref"] for o in operations.values() if o["action"] == "send" for m in o["messages"]]
    names = sorted(reference.rpartition("/")[2] for reference in sent if "dead" not in reference)
    assert names == sorted(entry.wire_type for entry in CATALOG.entries)
    for spec in SERVICES:
        assert {o["action"] for name, o in operations.items() if name.startswith(spec.name)} == {
            "send",
            "receive",
        }


@pytest.mark.parametrize("golden", NEWEST, ids=lambda golden: golden.type)
def test_what_was_published_is_as_the_document_says(golden: Golden) -> None:
    message = DOCUMENT["components"]["messages"][golden.type]
    for schema, value in (
        (message["headers"], golden.headers),
        (message["payload"], from_json(golden.value)),
    ):
        known = {**schema, "components": DOCUMENT["components"]}
        checker = Draft202012Validator(known, format_checker=Draft202012Validator.FORMAT_CHECKER)
        assert [error.message for error in checker.iter_errors(value)] == []
        assert list(checker.iter_errors({})) != []
