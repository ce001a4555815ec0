"""Where a stack sends its traces: to an endpoint that is given, or a viewer that is on the PATH."""

import os
import shutil
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from saga_cli.stack.processes import ChildProcess
from saga_cli.terminal import CommandError

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
PAGE: Final = "SAGA_TRACE_URL"
"""A variable: the page of a trace in a viewer, with {trace_id} in it."""
PORT: Final = 4318
"""OTLP over HTTP, by its standard; all these viewers listen there unless they are configured."""
START_S: Final = 30.0
NONE_FOUND: Final = (
    "no viewer of traces is on the PATH (jaeger, jaeger-all-in-one or otelite): install one, or give "
    f"--otlp-endpoint URL or {ENDPOINT}, where spans are sent by OTLP over HTTP"
)


@dataclass(frozen=True, slots=True)
class ViewerProgram:
    name: str
    page: str
    arguments: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


JAEGER: Final = "http://127.0.0.1:16686/trace/{trace_id}"
PROGRAMS: Final = (
    ViewerProgram("jaeger", JAEGER, env={"JAEGER_LISTEN_HOST": "127.0.0.1"}),
    ViewerProgram("jaeger-all-in-one", JAEGER, env={"COLLECTOR_OTLP_ENABLED": "true"}),
    ViewerProgram("otelite", "http://127.0.0.1:3000", ("serve", "--addr", "127.0.0.1:3000")),
)


@dataclass
class Traces:
    """`page` is that of a trace in the viewer, with {trace_id} in it where it has one; "" if unknown."""

    endpoint: str
    page: str = ""
    process: ChildProcess | None = None

    @property
    def variables(self) -> dict[str, str]:
        """Of the services."""
        return {ENDPOINT: self.endpoint}

    def start(self, held: ExitStack) -> None:
        """Raises RuntimeError with the end of its log where the viewer does not answer in time."""
        if self.process is None:
            return
        self.process.start()
        held.callback(self.process.stop)
        deadline = time.monotonic() + START_S
        while not _answers():
            if not self.process.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{self.process.name} takes no traces at port {PORT}; its log ends:\n"
                    f"{self.process.tail()}"
                )
            time.sleep(0.1)


def traces_to(endpoint: str, folder: Path) -> Traces:
    """To the endpoint, else to that of the environment, else to a viewer of the PATH, which is to be started.

    Without any the command ends with 2.
    """
    page = os.environ.get(PAGE, "")
    if given := endpoint or os.environ.get(ENDPOINT, ""):
        return Traces(given, page)
    for program in PROGRAMS:
        if found := shutil.which(program.name):
            log, command = folder / "viewer.log", [found, *program.arguments]
            process = ChildProcess("viewer", command, log, program.env, folder=folder)
            return Traces(f"http://127.0.0.1:{PORT}", page or program.page, process)
    raise CommandError(NONE_FOUND)


def link(page: str, trace_id: str) -> str:
    """The page of a trace; where the viewer has one for all, that and the trace's id; else the id."""
    if "{trace_id}" in page:
        return page.replace("{trace_id}", trace_id)
    return f"{page} {trace_id}".lstrip()


def _answers() -> bool:
    try:
        socket.create_connection(("127.0.0.1", PORT), timeout=1).close()
    except OSError:
        return False
    return True
