"""A line of a service's log is one JSON object, whoever wrote it and whatever it quotes."""

import json
import logging
import subprocess
import sys
from typing import Final

import pytest
import structlog
from structlog.testing import capture_logs

HOSTILE: Final = 'a\r\nb\x1b[31m\u2028{"level": "info"}'
PROGRAM: Final = f"""
import logging, structlog, uvicorn
from chassis.process import logs
logs.configure("order", "INFO")
uvicorn.Config(None, log_config=None)
try:
    raise ValueError({HOSTILE!r})
except ValueError:
    structlog.get_logger().exception("ours", error={HOSTILE!r})
    logging.getLogger("uvicorn.error").exception({HOSTILE!r})
    logging.getLogger("aiokafka").warning("%s", {HOSTILE!r})
"""


def test_a_line_is_one_object_whatever_it_quotes() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["ours", HOSTILE, HOSTILE]
    assert lines[0]["error"] == HOSTILE
    assert HOSTILE in lines[1]["exception"]
    assert not set(ran.stderr) & (set(range(32)) - {ord("\n")})


@pytest.fixture(scope="module")
def _silenced() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.mark.usefixtures("_silenced")
def test_what_a_fixture_of_a_file_silences_no_test_misses() -> None:
    with capture_logs() as lines:
        structlog.get_logger().error("seen")
    assert [line["event"] for line in lines] == ["seen"]
