"""The code of a service's neighbours as it runs: by the commits that they name, else this checkout's."""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guarantees.services import BY_NAME
from saga_cli.checkouts import ROOT, run_on, unpacked
from saga_cli.deploy import contracts, released
from saga_cli.deploy.checking import DeployReason, RunningInstance
from saga_cli.deploy.released import ServiceRelease
from saga_cli.schema.snapshot import Vocabulary
from saga_cli.terminal import fail, plain


@dataclass(frozen=True, slots=True)
class Neighbours:
    """By neighbour, with the commit where it is known: what it reads of the service, and what it writes."""

    contracts: dict[str, Vocabulary] = field(default_factory=dict)
    published: dict[str, Vocabulary] = field(default_factory=dict)
    notes: list[DeployReason] = field(default_factory=list)


def read(where: str, service: str) -> ServiceRelease:
    """The release of a service in a checkout, an archive or a revision.

    Raises OtherCodeError, or ValidationError for an answer that makes no sense.
    """
    module = BY_NAME[service].module
    with unpacked(where, ("shared_events", "chassis", module)) as folder:
        if not (folder / module / "__init__.py").is_file():
            fail(f"{plain(where)} has no {module}")
        return _described(folder, service)


def neighbours_of(service: str, running: Sequence[RunningInstance]) -> Neighbours:
    """Raises as `read` does."""
    found = Neighbours()
    for name in BY_NAME.keys() - {service}:
        for commit in _commits(name, running, found.notes):
            code = read(commit or str(ROOT), name)
            label = f"{name} ({commit[:10]})" if commit else name
            if contract := _contract(code, service, commit):
                found.contracts[label] = contract
            found.published[label] = code.writes
    return found


def _commits(
    name: str, running: Sequence[RunningInstance], notes: list[DeployReason]
) -> Iterator[str]:
    """Those that a service runs of; "" stands for this checkout."""
    stated = {(i.commit or "", i.version) for i in running if i.service == name} or {("", "")}
    here = BY_NAME[name].version
    for commit, version in sorted(stated):
        if commit and _is_here(commit):
            yield commit
        elif version in {"", here}:
            yield ""
        else:
            which = f"commit {commit[:10]}" if commit else f"version {version}"
            why = f"{name} runs {which}, which is not here: held against its types alone"
            notes.append(DeployReason("contract", why, refuses=False))


def _is_here(commit: str) -> bool:
    asked = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    try:
        return subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode == 0  # noqa: S603 - no shell: a commit in hexadecimal digits
    except FileNotFoundError:
        return False


def _contract(code: ServiceRelease, producer: str, commit: str) -> Vocabulary:
    """As its file says in this checkout; of another commit, as its code does."""
    stored = None if commit else contracts.stored(ROOT, code.service, producer)
    return code.read_from(producer) if stored is None else stored


def _described(folder: Path, service: str) -> ServiceRelease:
    if folder == ROOT:
        return released.described(service)
    return released.ADAPTER.validate_json(run_on(folder, released.__name__, service))
