"""Many runs of the script that applies one message, in one round trip."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis.exceptions import ResponseError

from chassis.message import Change
from chassis.work import States

APPLY: Final = (Path(__file__).parent / "apply.lua").read_text()
REFUSED: Final = "REFUSED "
SHA: Final = hashlib.sha1(APPLY.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Batch:
    """Each message for itself, in the epoch in which its states were read."""

    pipe: Any
    epoch: str

    def apply(self, key_count: int, *keys_and_values: Any) -> None:
        """The first brings the script's text; those behind it name it, as Redis knows it by then.

        So nothing has to be loaded again after a restart or a failover.
        """
        if len(self.pipe):
            self.pipe.evalsha(SHA, key_count, *keys_and_values)
        else:
            self.pipe.eval(APPLY, key_count, *keys_and_values)


def refusal_of(reply: Any) -> str:
    """Why a script refused its message for good, having written nothing; "" if it did not."""
    is_one = isinstance(reply, ResponseError) and str(reply).startswith(REFUSED)
    return str(reply).removeprefix(REFUSED) if is_one else ""


def copied(states: States, key: str) -> States:
    """The states before a message, as far as it may change them."""
    row = states.own.get(key)
    own = {key: Change(row.state, row.version)} if row else {}
    return States(own=own, shared=dict(states.shared))
