"""An API server of Kubernetes beside an etcd, for as long as a check takes; or one that somebody else runs.

Nothing runs on it: there is no scheduler, no kubelet and no controller, so that what is applied stays
what it is.
"""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from saga_cli.stack import ports
from saga_cli.stack.binaries import MissingProgramError
from saga_cli.stack.processes import ChildProcess
from saga_cli.terminal import CommandError
from tests.support.saga import Ended
from tests.support.waiting import until

VARIABLES: Final = {"kube-apiserver": "SAGA_KUBE_APISERVER", "etcd": "SAGA_ETCD"}
"""Where a program is that is not on PATH."""
KUBECTL_S: Final = 300
START_S: Final = 60
RESTRICTED: Final = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")
}


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Its program with what each call of it begins with."""

    program: str
    options: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, given: str = "") -> Ended:
        ended = subprocess.run(
            [self.program, *self.options, *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=KUBECTL_S,
            check=False,
            env={**os.environ, **self.env},
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def done(self, *words: str, given: str = "") -> str:
        """Raises CommandError where it fails."""
        ended = self.run(*words, given=given)
        if ended.code:
            raise CommandError(f"kubectl {' '.join(words)}: {ended.err.strip()}")
        return ended.out


def program(name: str) -> str:
    """Raises MissingProgramError."""
    variable = VARIABLES.get(name, "")
    if found := shutil.which(os.environ.get(variable) or name):
        return found
    named = f", nor in {variable}" if variable else ""
    why = f"there is no {name} on PATH{named}: docs/kubernetes.md says where to have it"
    raise MissingProgramError(why)


def of_context(name: str) -> Kubectl:
    """A server that somebody else runs, by the name that kubectl knows it under."""
    return Kubectl(program("kubectl"), ("--context", name))


@contextmanager
def api_server() -> Iterator[Kubectl]:
    """One of its own, empty. Raises MissingProgramError, and CommandError where it does not start."""
    kubectl, etcd, server = (program(name) for name in ("kubectl", "etcd", "kube-apiserver"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        held = [ports.hold(), ports.hold()]
        for port in held:
            stack.callback(port.release)
        store, address = (port.number for port in held)
        processes = [
            ChildProcess("etcd", _etcd(etcd, folder, store), folder / "etcd.log"),
            ChildProcess(
                "kube-apiserver", _api(server, folder, store, address), folder / "api.log"
            ),
        ]
        for process in processes:
            process.start()
            stack.callback(process.kill)  # nothing of it is needed at the end
        env = {
            "KUBECONFIG": str(_kubeconfig(folder, address)),
            "KUBECACHEDIR": str(folder / "cache"),
        }
        api = Kubectl(kubectl, env=env)
        until(lambda: _is_ready(api, processes), START_S, "an API server that is ready")
        yield api


def _is_ready(api: Kubectl, processes: Iterable[ChildProcess]) -> bool:
    for each in processes:
        if not each.is_alive():
            raise CommandError(f"{each.name} ended with {each.exit_code()}:\n{each.tail()}")
    return api.run("get", "--raw", "/readyz").code == 0


def _etcd(program: str, folder: Path, port: int) -> list[str]:
    """It has no peers: the address for them is any port."""
    client = f"http://127.0.0.1:{port}"
    return [
        program,
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--unsafe-no-fsync",
    ]


def _api(program: str, folder: Path, store: int, port: int) -> list[str]:
    """It makes its own certificate. No controller makes service accounts, so that no pod needs one."""
    key, token = folder / "accounts.pem", folder / "tokens.csv"
    made = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    key.write_bytes(made)
    token.write_text(f"{secrets.token_urlsafe()},check,check,system:masters\n", "utf-8")
    return [
        program,
        f"--etcd-servers=http://127.0.0.1:{store}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={token}",
        "--anonymous-auth=false",
        "--allow-privileged",  # as clusters do: the standards for pods decide
        "--authorization-mode=AlwaysAllow",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.0.0.0/16",
        "--endpoint-reconciler-type=none",
        "--disable-admission-plugins=ServiceAccount",
    ]


def _kubeconfig(folder: Path, port: int) -> Path:
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority": str(folder / "certificates" / "apiserver.crt"),
    }
    token = (folder / "tokens.csv").read_text("utf-8").partition(",")[0]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "check",
        "clusters": [{"name": "check", "cluster": cluster}],
        "users": [{"name": "check", "user": {"token": token}}],
        "contexts": [{"name": "check", "context": {"cluster": "check", "user": "check"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config), "utf-8")
    return path


def listed(resources: Iterable[Mapping[str, Any]]) -> str:
    """As kubectl reads it from its standard input."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [*resources]})


def defined(api: Kubectl, crds: Iterable[Mapping[str, Any]]) -> None:
    """Create these, and wait until they can be used."""
    api.done("create", "-f", "-", given=listed(crds))
    wait = ("wait", "--for=condition=Established", "--timeout=10s", "crd", "--all")
    until(lambda: api.run(*wait).code == 0, START_S, "the CRDs")  # at first they have no condition


def restricted_namespace(api: Kubectl, name: str) -> None:
    """Pods there have to be as restricted as Kubernetes' standards know."""
    metadata = {"name": name, "labels": RESTRICTED}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    api.done("create", "-f", "-", given=json.dumps(made))
