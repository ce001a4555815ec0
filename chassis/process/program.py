"""A service's program: `python -m X_svc`, `--version` and `--help`, which need no settings."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any, Final

from chassis import build
from chassis.manifest import Manifest
from chassis.process import runtime
from chassis.process.settings import ProcessSettings

MIGRATE: Final = "migrate"


def begin(
    manifest: Manifest,
    settings_type: type[ProcessSettings],
    serve: Callable[[Any], Any],
    migrate: Callable[[Any], Any] | None = None,
) -> None:
    """Do what the program's arguments ask for: serve, or bring the schema to its newest migration.

    What can't be asked for ends it with exit code 2; else it raises as `runtime.start` does.
    """
    parser = ArgumentParser(
        prog=f"python -m {manifest.module}",
        description=f"One process of the {manifest.name} service.",
        epilog=f"Its settings are variables that begin with {manifest.prefix}_: docs/settings.md.",
    )
    shown = build.shown(manifest.name, manifest.version)
    parser.add_argument("--version", action="version", version=shown)
    if migrate is not None:
        parser.add_argument(
            "task",
            nargs="?",
            choices=[MIGRATE],
            help="bring the schema of its database to the newest migration, and end",
        )
    asked = parser.parse_args(sys.argv[1:])
    wanted = migrate if migrate is not None and asked.task == MIGRATE else serve
    runtime.start(settings_type, manifest.name, wanted)
