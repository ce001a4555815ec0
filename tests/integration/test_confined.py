"""All services as in their containers: no file system that can be written to, and no capability.

The process has a mount namespace of its own in which all is read-only, no home, and no folder for
temporary files.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import pytest

from saga_cli.demo import a_checkout
from saga_cli.stack import ports
from saga_cli.stack.issuer import local_issuer
from saga_cli.stack.processes import ChildProcess
from saga_cli.stack.seed import seed
from saga_cli.stack.services import Instance, Services
from saga_cli.topology import SERVICES, environment_of
from tests.support.servers import log_of, private_stack

READ_ONLY: Final = """
set -eu
mount --make-rprivate /
awk '$4 ~ /^rw/ && $2 !~ "^/(proc|sys)(/|$)" && $3 != "devpts" { print $2 }' /proc/mounts |
    sort -u | while read -r place; do mount -o remount,bind,ro "$place"; done
! touch /tmp/written "$PWD/written" /dev/shm/written 2>/dev/null
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""
AS_ROOT: Final = ("unshare", "--mount")
AS_USER: Final = ("unshare", "--user", "--map-root-user", "--mount")
CONFINED: Final = (*(AS_USER if os.geteuid() else AS_ROOT), "sh", "-c", READ_ONLY, "sh")
NOWHERE: Final = {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"}


def start(services: Services) -> None:
    addresses = replace(services.addresses, issuer=local_issuer().url)
    for spec in SERVICES:
        port = ports.hold()
        env = environment_of(spec, addresses, port.number) | NOWHERE
        command = [*CONFINED, sys.executable, "-m", spec.module]
        process = ChildProcess(spec.name, command, services.logs / f"{spec.name}.log", env)
        process.start()
        services.instances.append(Instance(spec, process, port))
    services.await_ready(services.instances)


@pytest.fixture(scope="module")
def confined() -> Iterator[Services]:
    with private_stack() as (services, _):
        start(services)
        seed(services.url)
        yield services


def test_an_order_is_settled_by_services_that_can_write_nowhere(confined: Services) -> None:
    order = httpx.post(
        f"{confined.url('order')}/checkout",
        json=a_checkout(),
        headers={"Prefer": "wait=60"},
        timeout=90,
    )
    assert (order.status_code, order.json()["state"]) == (201, "CONFIRMED")
    for instance in confined.instances:
        assert "Read-only file system" not in log_of(instance.process)


def test_they_hold_no_capability_and_can_gain_none(confined: Services) -> None:
    for instance in confined.instances:
        status = Path(f"/proc/{instance.process.pid}/status").read_text("utf-8")
        reported = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert {reported[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {"0" * 16}
        assert reported["NoNewPrivs"] == "1"
