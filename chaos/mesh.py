"""The faults of a plan as experiments of Chaos Mesh, for the system on Kubernetes.

Kinds and how long they last are those of `chaos.plan`; what has no counterpart there is in NOT_THERE.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chaos.plan import TRACKS, FaultKind
from saga_cli.k8s.names import KAFKA, REDIS, ClusterResource, database_of, resource
from saga_cli.topology import SERVICES, ServiceSpec

API: Final = "chaos-mesh.org/v1alpha1"
NOT_THERE: Final[Mapping[FaultKind, str]] = {
    "pause": "a pod can't be stopped and continued; its container can be killed, and its link cut",
    "one-way partition": "as a partition, with `direction: to` in the other experiment alone",
    "swizzle": "links are cut one by one in an order: that is a Workflow of partitions",
    "resets": "packets of a link can be dropped or delayed, and a connection not be ended",
}
"""Kinds of `make chaos` that these experiments leave out, and why."""
OF_THE_CLOCK: Final = "clock"
"""What only Chaos Mesh can do: here the clock of a machine is every process's."""
SKEW: Final = "-10m"
LATENCY: Final = {"latency": "350ms", "jitter": "150ms"}
Selector = dict[str, Any]


def experiments(namespace: str) -> Iterator[ClusterResource]:
    """One of each kind, of every service where it is of services; each is started by itself."""
    for track in TRACKS:
        for kind, (_, most_s) in track.items():
            if kind not in NOT_THERE:
                yield from _of_kind(kind, max(most_s, 1), namespace)
    for spec in SERVICES:
        skewed = {"timeOffset": SKEW, "duration": "60s", **_on(_service(spec), namespace, "one")}
        yield _made("TimeChaos", f"{OF_THE_CLOCK}-{spec.name}", skewed)


def _of_kind(kind: FaultKind, seconds: float, namespace: str) -> Iterator[ClusterResource]:
    lasts = {"duration": f"{seconds:.0f}s"}
    for spec in SERVICES:
        yield from _of_a_service(kind, spec, lasts, namespace)
    yield from _of_a_server(kind, lasts, namespace)


def _of_a_service(
    kind: FaultKind, spec: ServiceSpec, lasts: dict[str, str], namespace: str
) -> Iterator[ClusterResource]:
    match kind:
        case "kill":
            yield _kill(f"kill-{spec.name}", _on(_service(spec), namespace, "one"))
        case "stop a service":
            action = {"action": "pod-failure", **lasts, **_on(_service(spec), namespace)}
            yield _made("PodChaos", f"stop-{spec.name}", action)
        case "partition" | "latency" | "refuse":
            yield from _links(kind, spec, lasts, namespace)
        case "kill postgres" if spec.has_database:
            yield _kill(f"kill-postgres-{spec.name}", _on(_primary(spec), namespace))
        case _:
            return


def _of_a_server(
    kind: FaultKind, lasts: dict[str, str], namespace: str
) -> Iterator[ClusterResource]:
    one, all_of_them = _on(_brokers(), namespace, "one"), _on(_brokers(), namespace)
    match kind:
        case "kill a broker":
            yield _kill("kill-a-broker", one)
        case "kill every broker":
            yield _kill("kill-every-broker", all_of_them)
        case "cut off a broker":
            cut = {"action": "partition", "direction": "both", **lasts}
            yield _made("NetworkChaos", "cut-off-a-broker", {**cut, **one, "target": all_of_them})
        case "kill redis":
            yield _kill("kill-redis", _on(_labelled({"app.kubernetes.io/name": REDIS}), namespace))
        case _:
            return


def _links(
    kind: FaultKind, spec: ServiceSpec, lasts: dict[str, str], namespace: str
) -> Iterator[ClusterResource]:
    """Of one instance to each server that it uses."""
    how: dict[str, Any] = {"action": "partition"}
    if kind == "latency":
        how = {"action": "delay", "delay": LATENCY}
    elif kind == "refuse":  # packets are lost: a connection is not made, as where it is refused
        how = {"action": "loss", "loss": {"loss": "100"}}
    for server, selector in _servers(spec).items():
        target = {"direction": "both", "target": _on(selector, namespace)}
        on_one = _on(_service(spec), namespace, "one")
        made = {**how, **target, **lasts, **on_one}
        yield _made("NetworkChaos", f"{kind}-{spec.name}-{server}", made)


def _servers(spec: ServiceSpec) -> dict[str, Selector]:
    found = {"kafka": _brokers()}
    if spec.has_database:
        found["postgres"] = _labelled({"cnpg.io/cluster": database_of(spec)})
    if spec.redis_database is not None:
        found["redis"] = _labelled({"app.kubernetes.io/name": REDIS})
    return found


def _service(spec: ServiceSpec) -> Selector:
    return _labelled({"app.kubernetes.io/name": spec.name})


def _brokers() -> Selector:
    return _labelled({"strimzi.io/name": f"{KAFKA}-kafka"})


def _primary(spec: ServiceSpec) -> Selector:
    return _labelled({"cnpg.io/cluster": database_of(spec), "cnpg.io/instanceRole": "primary"})


def _labelled(labels: dict[str, str]) -> Selector:
    return {"labelSelectors": labels}


def _on(selector: Selector, namespace: str, mode: str = "all") -> dict[str, Any]:
    return {"mode": mode, "selector": {"namespaces": [namespace], **selector}}


def _kill(name: str, on: dict[str, Any]) -> ClusterResource:
    return _made("PodChaos", name, {"action": "pod-kill", "gracePeriod": 0, **on})


def _made(kind: str, name: str, spec: dict[str, Any]) -> ClusterResource:
    return resource(API, kind, name, spec)
