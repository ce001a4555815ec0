"""`saga up --with-tracing`: where spans go, which viewer is started, and the link of a trace."""

import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from saga_cli.stack import viewer
from saga_cli.terminal import CommandError
from tests.support.saga import Ended, saga

LISTENER: Final = """#!{python}
import os, socket, sys
print(sys.argv[1:], os.environ["JAEGER_LISTEN_HOST"], flush=True)
with socket.create_server(("127.0.0.1", {port})) as server:
    while True:
        server.accept()[0].close()
"""
DEAD: Final = "#!/bin/sh\necho 'the port is taken'\nexit 1\n"


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in (viewer.ENDPOINT, viewer.PAGE):
        monkeypatch.delenv(name, raising=False)


def a_program(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text(text)
    file.chmod(0o755)


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_without_any_it_says_what_there_could_be(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--otlp-endpoint URL or OTEL_EXPORTER_OTLP_ENDPOINT"):
        viewer.traces_to("", tmp_path)
    assert saga("up", "--with-tracing") == Ended(2, "", f"saga: {viewer.NONE_FOUND}\n")


def test_what_is_given_goes_before_what_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_program(tmp_path, "otelite", DEAD)
    found = viewer.traces_to("", tmp_path)
    assert found.process is not None
    assert found.process.command == [
        str(tmp_path / "otelite"),
        "serve",
        "--addr",
        "127.0.0.1:3000",
    ]
    a_program(tmp_path, "jaeger", DEAD)
    found = viewer.traces_to("", tmp_path)
    assert found.process is not None
    assert found.process.command == [str(tmp_path / "jaeger")]
    assert found.variables == {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    monkeypatch.setenv(viewer.ENDPOINT, "http://collector:4318")
    monkeypatch.setenv(viewer.PAGE, "https://traces/{trace_id}")
    of_environment = viewer.Traces("http://collector:4318", "https://traces/{trace_id}")
    assert viewer.traces_to("", tmp_path) == of_environment
    assert viewer.traces_to("http://other:4318", tmp_path).endpoint == "http://other:4318"


def test_a_viewer_is_waited_for_and_stopped_with_its_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "PORT", a_free_port())
    a_program(tmp_path, "jaeger", LISTENER.format(python=sys.executable, port=viewer.PORT))
    found = viewer.traces_to("", tmp_path)
    with ExitStack() as held:
        found.start(held)
        assert found.process is not None
        assert found.process.is_alive()
        assert found.process.tail() == "[] 127.0.0.1"
    assert not found.process.is_alive()


def test_a_viewer_that_ends_is_an_error_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "PORT", a_free_port())
    a_program(tmp_path, "jaeger", DEAD)
    found = viewer.traces_to("", tmp_path)
    with ExitStack() as held, pytest.raises(RuntimeError, match="the port is taken"):
        found.start(held)


def test_a_link_is_the_page_of_a_trace_or_what_there_is() -> None:
    page = "http://127.0.0.1:16686/trace/{trace_id}"
    assert viewer.link(page, "0af7") == "http://127.0.0.1:16686/trace/0af7"
    assert viewer.link("http://127.0.0.1:3000", "0af7") == "http://127.0.0.1:3000 0af7"
    assert viewer.link("", "0af7") == "0af7"
