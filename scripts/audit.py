"""`make audit`: known vulnerabilities of what is shipped, asked of OSV by pip-audit.

Exit codes: 0 none is known, 1 some are, 3 the data could not be had: nothing is said then of any package.
"""

import subprocess
import sys
from collections.abc import Mapping
from tempfile import NamedTemporaryFile
from typing import Any, Final

from pydantic_core import from_json

from scripts.shipped import IMAGES, export, extras

FOUND: Final = 1
NOT_DONE: Final = 3
IGNORED: Final[Mapping[str, str]] = {}
"""Ids of vulnerabilities that do not concern what is shipped, with the reason."""
TIMEOUT_S: Final = 10


def audit(requirements: str, url: str = "") -> tuple[int, list[str]]:
    """The exit code, and what is to be said. `url` is another OSV's."""
    with NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        words = ["--requirement", file.name, "--disable-pip", "--require-hashes"]
        words += ["--vulnerability-service", "osv", "--format", "json", "--timeout", str(TIMEOUT_S)]
        words += ["--progress-spinner", "off", "--desc", "off"]
        words += ["--osv-url", url] if url else []
        words += [word for id_ in IGNORED for word in ("--ignore-vuln", id_)]
        asked = [sys.executable, "-m", "pip_audit", *words]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    try:
        looked_at = from_json(done.stdout)["dependencies"]
    except ValueError:
        why = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        return NOT_DONE, [f"NOT DONE: the vulnerability data can't be had ({why[:200]})"]
    skipped = [
        f"{x['name']}: not looked at: {x['skip_reason']}" for x in looked_at if "skip_reason" in x
    ]
    found = [_line(x, v) for x in looked_at for v in x.get("vulns", ())]
    if found or skipped:
        return FOUND, [*found, *skipped]
    return 0, [f"no vulnerability is known of {len(looked_at)} packages"]


def _line(package: dict[str, Any], vulnerability: dict[str, Any]) -> str:
    mended = ", ".join(vulnerability["fix_versions"]) or "no release"
    return f"{package['name']} {package['version']}: {vulnerability['id']}, mended in {mended}"


def main() -> None:
    short = "--images" in sys.argv[1:]  # what runs in production, without tools
    code, lines = audit(export(IMAGES if short else extras()))
    sys.stdout.writelines(f"audit: {line}\n" for line in lines)
    sys.exit(code)


if __name__ == "__main__":
    main()
