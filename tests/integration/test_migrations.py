"""The tables that the code declares are the tables that the migrations make."""

import subprocess
import sys

import pytest

from saga_cli.topology import BY_NAME, Addresses

CHECK = """
import sys
import alembic.command
from chassis.migrations import config_of
from chassis.runtime import migrations_of
import {service}_svc
config = config_of(migrations_of({service}_svc.__file__), sys.argv[1])
alembic.command.upgrade(config, "head")
alembic.command.check(config)
"""


@pytest.mark.parametrize("service", ["order", "inventory", "payment", "shipping"])
def test_the_models_and_the_migrations_agree(addresses: Addresses, service: str) -> None:
    """In a process of its own: all models of one process share their metadata."""
    url = addresses.database_url(BY_NAME[service])
    code = CHECK.format(service=service)
    run = [sys.executable, "-c", code, url]
    result = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
