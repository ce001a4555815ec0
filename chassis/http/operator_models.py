"""What operators send, and are shown."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field

from chassis.http.bodies import Body, example
from chassis.http.texts import EXAMPLE, Note, ParkedKey, text

ASKED: Final = {"key": EXAMPLE}


class Asked(Body):
    model_config = example(**ASKED)
    key: Annotated[ParkedKey, Field(description="An order's id, or whatever key a message has.")]


class Redrive(Asked):
    model_config = example(**ASKED, note="fixed in 1.4.2")
    note: Annotated[str, text(1000, 0)] = ""
    dry_run: bool = Field(
        default=False, strict=True, description="Say what would become of it; change nothing."
    )


class Discard(Asked):
    model_config = example(**ASKED, reason="sent by hand")
    reason: Note
    id: Annotated[str, text(64, 0), Field(description="The message; the key's first if empty.")] = (
        ""
    )


class Skip(Body):
    """One record of a topic that the service reads."""

    model_config = example(
        topic="order.forward", partition=3, offset=1042, note="nobody can read it"
    )
    topic: Annotated[str, text(249, pattern="^[A-Za-z0-9._-]+$")]
    partition: Annotated[int, Field(ge=0, lt=2**31)]
    offset: Annotated[int, Field(ge=0, lt=2**63)]
    note: Note


class Skipped(BaseModel):
    key: str = Field(description="What it is parked under: topic, partition and offset.")


class Resolve(Asked):
    model_config = example(**ASKED, outcome="refunded", note="seen at the bank", reference="re_1")
    outcome: Annotated[str, text(64, 0), Field(examples=["refunded"])]
    note: Note
    reference: Annotated[str, text(200, 0), Field(description="The provider's, if needed.")] = ""


class Effect(BaseModel):
    """A call to the outside, or a timer, that is due now or later."""

    id: str
    kind: str
    attempt: int = Field(description="Counts the decisions for it: after a refusal comes another.")
    tries: int = Field(description="How often it was asked for.")
    due_at: datetime | None
    owed_since: datetime | None
    last_error: str
    needs_attention: bool
    may_be_resolved_as: list[str]
    with_reference: list[str]


class DeadLetter(BaseModel):
    """A message that is parked."""

    id: str
    key: str
    type: str
    topic: str
    partition: int
    offset: int
    first_error: str
    last_error: str
    attempts: int
    parked_at: datetime
    last_tried_at: datetime


class Head(DeadLetter):
    """A key's first dead letter; `behind` is how many more of the key are parked after it."""

    behind: int


class ParkedKeys(BaseModel):
    keys: int = Field(description="How many keys have parked messages.")
    heads: list[Head]


class Copy(DeadLetter):
    """Byte-exact: base64 (RFC 4648) of key, value and header values."""

    record_key: str | None
    value: str | None
    headers: list[tuple[str, str | None]]


class Redriven(BaseModel):
    """What became of a message that was tried again."""

    id: str
    outcome: str
    reason: str
    published: list[str]


class Action(BaseModel):
    """What a person did."""

    at: datetime
    by: str
    action: str
    note: str
    detail: str


class Expedited(BaseModel):
    key: str
    effects: int = Field(description="How many effects are asked for now.")


class Resolved(BaseModel):
    key: str
    effect: str
    published: list[str]


class Outbox(BaseModel):
    rows: int
    oldest_s: float = Field(description="Seconds since the oldest was committed.")
    refused: str = Field(description="Why Kafka never takes one of them; empty if it takes all.")


class Relay(BaseModel):
    failing: str = Field(description="Why it can't publish; empty while it can.")


class Consumer(BaseModel):
    ready: bool
    lag: int | None = Field(
        description="Messages not read yet; null if Kafka does not say in time."
    )


class Circuit(BaseModel):
    provider: str
    state: Literal["closed", "open", "half_open"]
    why: str
    calls_again_at: datetime | None = Field(
        description="When an open one lets a call through to see."
    )


class Whereabouts(BaseModel):
    """All that a service knows of an order."""

    service: str
    state: str
    outbox: Outbox
    relay: Relay
    consumer: Consumer
    parked: list[DeadLetter]
    effects: list[Effect]
    timers: list[Effect]
    circuits: list[Circuit]
    actions: list[Action]
    resolutions: list[str]
