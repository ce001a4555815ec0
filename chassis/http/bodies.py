"""What clients send: the fields that are named, and no others."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def example(**fields: Any) -> ConfigDict:
    """The `model_config` of a body that the API's document shows an example of."""
    return ConfigDict(json_schema_extra={"examples": [fields]})
