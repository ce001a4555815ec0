"""Hooks of schemathesis: what it makes for Stripe's webhook is signed, as none of it is read else."""

import json
from typing import Any

import schemathesis
from schemathesis import Case, HookContext

from chaos.fake_stripe import signed


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    if isinstance(case.body, dict | list | str | int | float | bool | None):
        _, headers = signed(json.dumps(case.body))
        case.headers["Stripe-Signature"] = headers["stripe-signature"]
