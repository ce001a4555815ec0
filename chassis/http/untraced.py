"""Which requests get no server span: those of probes, and those whose trace is not recorded.

FastAPI prepares all of a span before it asks the sampler, 40 us that at 1 % most requests would pay for
nothing. A sampler that goes by the trace's id is asked here first; what it takes begins with that id.
"""

from typing import Final

from starlette.types import Scope

from chassis import tracing

PROBES: Final = ("/health/", "/metrics", "/version")
"""What is asked for again and again."""


def is_untraced(scope: Scope) -> bool:
    if scope["path"].startswith(PROBES):
        return True
    if not tracing.goes_by_id():
        return False
    for name, value in scope["headers"]:
        if name == b"traceparent" and (given := tracing.carried(value.decode("latin-1"))):
            return tracing.is_dropped(given)
    scope[tracing.IN_SCOPE] = context = tracing.begun_dropped()
    return bool(context)
