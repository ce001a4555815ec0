"""Who may use a route: it is declared at each, checked before anything of the request is read, documented.

    @app.get("/things/{id}")
    @open_to(Access(own={"customer"}, every={"service"}))
    async def get_thing(request: Request, id: str) -> ...:
        if not granted(request).covers(thing.customer_id): raise a 404

A route without a declaration can't be made.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from chassis.auth import AUDIT, OPERATE, Caller

GRANTED: Final = "chassis.granted"  # in a request's scope
SCHEME: Final = "bearer"
"""The name of the security scheme in a document."""
_DECLARED: Final = "declared_access"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Access:
    """The scopes that open a route, of which a token needs one.

    With one of `own` a caller gets what is their own, and with one of `every` what is anybody's.
    """

    own: AbstractSet[str] = frozenset()
    every: AbstractSet[str] = frozenset()
    is_public: bool = False
    needs_caller: bool = False
    """Closed where nobody is asked who they are, as it is recorded who did it."""

    @property
    def scopes(self) -> list[str]:
        """All that open it, those of the caller's own things first."""
        return [*sorted(self.own), *sorted(self.every - self.own)]

    @property
    def security(self) -> list[dict[str, list[str]]]:
        """The alternatives, as an OpenAPI document has them."""
        return [{SCHEME: [scope]} for scope in self.scopes]


PUBLIC: Final = Access(is_public=True)
LOOK: Final = Access(every={OPERATE, AUDIT}, needs_caller=True)
CHANGE: Final = Access(every={OPERATE}, needs_caller=True)


@dataclass(frozen=True, slots=True)
class Granted:
    """Who was let in, None if nobody was asked; `restricted` to their own things."""

    caller: Caller | None
    restricted: bool = False

    @property
    def subject(self) -> str:
        """What the caller is called; "" where nobody was asked."""
        return self.caller.subject if self.caller else ""

    def covers(self, owner: str) -> bool:
        """Whether the caller may see, and change, what is this one's."""
        return not self.restricted or (owner != "" and owner == self.subject)

    def has(self, scope: str) -> bool:
        """Whether the caller's token has it."""
        return self.caller is not None and scope in self.caller.scopes


def open_to(access: Access) -> Callable[[F], F]:
    """Declares who may use the endpoint that it stands above, right below its route."""

    def declared(endpoint: F) -> F:
        setattr(endpoint, _DECLARED, access)
        return endpoint

    return declared


def granted(request: Request) -> Granted:
    """Who was let in to this request's route."""
    found = request.scope[GRANTED]
    assert isinstance(found, Granted)
    return found


class GuardedRoute(APIRoute):
    """A route with a declared access, which is checked before FastAPI reads parameters or a body.

    Raises ValueError where an endpoint declares none.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        access: Access | None = getattr(endpoint, _DECLARED, None)
        if access is None:
            raise ValueError(f"{path} does not say who may use it: declare it with @open_to")
        self.access = access
        extra = more.pop("openapi_extra", None) or {}
        if access.security:
            extra = {**extra, "security": access.security}
        super().__init__(path, endpoint, openapi_extra=extra, **more)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the framework does, for those who are let in; raises Problem for others."""
        if self.methods and scope["method"] in self.methods:
            await enter(self, scope)
        await super().handle(scope, receive, send)


async def enter(route: GuardedRoute, scope: Scope) -> None:
    """Let the request in, once. Raises Problem."""
    if GRANTED not in scope:
        scope[GRANTED] = await scope["app"].state.gate.admit(route.access, scope)
