"""What Redis, or a sentinel of it, refuses us for: which setting to look at, and why, in words."""

import re
import ssl
from dataclasses import dataclass
from typing import Final, Literal

from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from chassis import tls
from chassis.errors import cause_of

IN_A_SCRIPT: Final = re.compile(r"ACL failure in script|The user executing the script can't")
FaultySetting = Literal["ca_file", "password", "user", "name", "url"]
"""`name` is that of the primary, as sentinels know it."""


@dataclass(frozen=True, slots=True)
class AccessFault:
    """`setting` is the one to look at."""

    setting: FaultySetting
    why: str


def fault_of(error: BaseException) -> AccessFault | None:
    """None for an error that is no refusal: the server is away, or something else is wrong."""
    if fault := cause_of(error, ssl.SSLError):
        found = tls.fault_of(fault)
        return AccessFault("ca_file" if found.setting == "ca_file" else "url", found.why)
    text = text_of(error)
    if isinstance(error, AuthenticationError):
        return AccessFault("password", text)
    is_denied = isinstance(error, NoPermissionError)
    if is_denied or (isinstance(error, ResponseError) and IN_A_SCRIPT.search(text) is not None):
        return AccessFault("user", f"its user lacks a right: {text}")
    return None


def text_of(error: BaseException) -> str:
    """In one line."""
    return " ".join(str(error).split()) or type(error).__name__
