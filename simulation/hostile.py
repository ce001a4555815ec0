"""Records that no owner of a topic would write, made of what it has written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, TypeAlias
from uuid import UUID

from chassis.kafka import UNREADABLE
from simulation.partition import RecordHeaders

MARK: Final = "x-rubbish"
"""The last header, by which the checks know such a record; no service looks at it. It names the form."""
ENVELOPE: Final = ("ce_id", "ce_source", "ce_time", "ce_subject", "ce_specversion")


@dataclass(frozen=True, slots=True)
class Forged:
    """A record without a place; the place is that of no such record if it is all that is wrong."""

    key: bytes | None
    value: bytes | None
    headers: RecordHeaders
    is_elsewhere: bool = False
    """In another topic."""
    is_astray: bool = False
    """In another partition."""


def is_rubbish(record: Any) -> bool:
    last = record.headers[-1][0] if record.headers else ""
    return last == MARK or b"rubbish" in (record.value or b"")


def is_parked(record: Any, *, is_consumed: bool) -> bool:
    """Whether who reads its topic has to keep it; of an event that it does not read, for its origin."""
    form = record.headers[-1][1] if is_rubbish(record) and record.headers else None
    if form in NO_OPS:
        return False
    return is_rubbish(record) and (is_consumed or form in OF_ORIGIN)


def forged(choice: Random, record: Any, other: Any) -> Forged:
    """One of the forms, made of two true records of a topic; `other` is another order's."""
    return _made(choice, FORMS, record, other)


def copied(choice: Random, record: Any) -> Forged:
    """A true record again, with one thing changed that says when it counts."""
    return _made(choice, COPIES, record, record)


def _made(choice: Random, forms: "Forms", record: Any, other: Any) -> Forged:
    form = choice.choice(forms)
    made = form(choice, Forged(record.key, record.value, record.headers), other)
    return replace(made, headers=(*made.headers, (MARK, _name_of(form))))


def _name_of(form: "ForgedForm") -> bytes:
    return form.__name__.strip("_").encode()


def _of_another(_: Random, record: Forged, other: Any) -> Forged:
    """Under one order's key and subject, what happened to another."""
    return replace(record, value=other.value)


def _under_another(_: Random, record: Forged, other: Any) -> Forged:
    return replace(record, key=other.key)


def _of_nobody(choice: Random, record: Forged, _: Any) -> Forged:
    return _changed(record, "ce_source", choice.choice((b"/nobody", b"order", b"\xff")))


def _at_no_time(choice: Random, record: Forged, _: Any) -> Forged:
    times = (b"0001-01-01T00:00:00+01:00", b"2026-01-02T03:04:05", b"9999-12-31T23:59:59-23:59")
    return _changed(record, "ce_time", choice.choice(times))


def _torn(choice: Random, record: Forged, _: Any) -> Forged:
    value = record.value or b"{}"
    cut = choice.randrange(len(value))
    return replace(record, value=choice.choice((None, value[:cut], value[:cut] + b"\xff", b"[]")))


def _stripped(choice: Random, record: Forged, _: Any) -> Forged:
    lost = choice.choice(ENVELOPE)
    return replace(record, headers=tuple(pair for pair in record.headers if pair[0] != lost))


def _twice(choice: Random, record: Forged, _: Any) -> Forged:
    return replace(record, headers=(*record.headers, (choice.choice(ENVELOPE), b"again")))


def _less_than_nothing(_: Random, record: Forged, __: Any) -> Forged:
    """Every amount, quantity and number of an attempt is negative."""
    value = record.value or b""
    for digit in b"123456789":
        value = value.replace(b":%c" % digit, b":-%c" % digit)
    return replace(record, value=value if value != record.value else b"null")


def _unreadable(_: Random, record: Forged, __: Any) -> Forged:
    """As the client hands it out that could not read it."""
    return replace(record, headers=((UNREADABLE, b"wrong checksum"),))


def _elsewhere(_: Random, record: Forged, __: Any) -> Forged:
    return replace(record, is_elsewhere=True)


def _astray(_: Random, record: Forged, __: Any) -> Forged:
    return replace(record, is_astray=True)


def _under_a_new_id(choice: Random, record: Forged, _: Any) -> Forged:
    return _changed(record, "ce_id", str(UUID(int=choice.getrandbits(128))).encode())


def _without_a_number(choice: Random, record: Forged, other: Any) -> Forged:
    made = _under_a_new_id(choice, record, other)
    return replace(made, headers=tuple(p for p in made.headers if p[0] != "ce_sequence"))


def _changed(record: Forged, name: str, data: bytes) -> Forged:
    changed = tuple((n, data if n == name else value) for n, value in record.headers)
    return replace(record, headers=changed)


ForgedForm: TypeAlias = Callable[[Random, Forged, Any], Forged]
Forms: TypeAlias = Sequence[ForgedForm]
FORMS: Final[Forms] = (
    _of_another,
    _under_another,
    _of_nobody,
    _at_no_time,
    _torn,
    _stripped,
    _twice,
    _less_than_nothing,
    _unreadable,
    _elsewhere,
)
COPIES: Final[Forms] = (_astray, _under_a_new_id, _without_a_number)
OF_ORIGIN: Final = {_name_of(form) for form in (_under_another, _of_nobody, _elsewhere, _astray)}
NO_OPS: Final = {_name_of(form) for form in (_under_a_new_id, _without_a_number)}
"""Who reads the topic decides on it, and changes nothing; who is rebuilt from it leaves it out."""
