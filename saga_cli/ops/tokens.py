"""Access tokens of the running stack's own issuer."""

import getpass
import sys
from collections.abc import Sequence
from contextlib import suppress

import httpx

from chassis.auth import OPERATE
from saga_cli.stack import state
from saga_cli.stack.issuer import CLIENT, asked_for
from saga_cli.terminal import fail, message_of


def show(subject: str, scopes: Sequence[str], lifetime_s: int) -> None:
    """Print one; without a stack, and for scopes that there are not, the command ends with 2."""
    stack = state.found()
    if stack is None:
        fail("no stack runs in this folder: start one with `saga up`")
    sys.stdout.write(f"{of_stack(stack, subject, scopes, lifetime_s)}\n")


def operator_of(stack: state.Stack) -> str:
    """The token of whoever is logged in here, as an operator."""
    return of_stack(stack, user_here(), (OPERATE,), 3600)


def user_here() -> str:
    """The name of whoever is logged in here."""
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return CLIENT


def of_stack(stack: state.Stack, subject: str, scopes: Sequence[str], lifetime_s: int) -> str:
    """What the issuer does not give ends the command with 2."""
    try:
        return asked_for(stack.issuer, stack.issuer_secret, subject, scopes, lifetime_s)
    except (httpx.HTTPError, ValueError) as error:
        fail(f"the stack's issuer gives no token: {message_of(error)}")
