"""A command run on the modules of another checkout, by its own interpreter if it has one.

A checkout that has no such command takes this one's; all else is its own.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

from saga_cli.checkouts import interpreter_of
from saga_cli.targets import found
from saga_cli.terminal import fail

CODE: Final = """
import sys, saga_cli
here, name = sys.argv.pop(1), sys.argv.pop(1)
saga_cli.__path__.append(here)
from importlib import import_module
import typer
typer.run(getattr(import_module(f"saga_cli.{name}.command"), name))
"""


def run_by(checkout: Path, command: str, words: list[str], archive: str) -> int:
    """Returns the exit code; a path that is no checkout ends the command with 2."""
    if not (checkout / "saga_cli").is_dir():
        fail(f"{checkout} is no checkout: it has no saga_cli")
    line = [interpreter_of(checkout), "-P", "-c", CODE, str(Path(__file__).parent), command, *words]
    own = {"PYTHONPATH": str(checkout.absolute()), "SAGA_ARCHIVE": archive}
    environment = {**os.environ, **own, **found().kafka.variables("SAGA")}
    return subprocess.run(line, env=environment, check=False).returncode  # noqa: S603 - no shell: a checkout that the user names
