"""The secured Compose file, as Compose itself merges and completes it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]


def merged(folder: Path) -> dict[str, Any]:
    """With the secrets of a folder; nothing else of the environment is in it."""
    program = ROOT / ".venv" / "bin" / "docker-compose"
    files = [word for name in ("compose.yaml", "compose.secure.yaml") for word in ("-f", name)]
    read = subprocess.run(
        [str(program), *files, "config", "--format", "json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SAGA_SECRETS": str(folder)},
        check=False,
    )
    assert (read.returncode, read.stderr) == (0, "")
    found: dict[str, Any] = json.loads(read.stdout)
    return found
