"""The command `saga` as a person runs it, without the cost of a process each time."""

import json
import os
from typing import Any, NamedTuple

from typer.testing import CliRunner

from saga_cli.main import app
from saga_cli.stack.services import Services
from saga_cli.topology import SERVICES


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def saga(*words: str, **variables: str) -> Ended:
    """Run it with these variables alone of those that are its own."""
    unset = {name: None for name in os.environ if name.startswith("SAGA_")}
    result = CliRunner().invoke(app, words, env={**unset, **variables})
    return Ended(result.exit_code, result.stdout, result.stderr)


def operating(services: Services, *words: str, **variables: str) -> Ended:
    """Run it against these services."""
    urls = {
        f"SAGA_{spec.prefix}_URL": ",".join(i.url for i in services.of(spec.name))
        for spec in SERVICES
    }
    token = {"SAGA_OPERATOR_TOKEN": services.addresses.operator_token}
    return saga(*words, **{**urls, **token, **variables})
