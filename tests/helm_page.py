"""Files of the charts in deploy/helm: the values of each process from its manifest, and of all in one."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import yaml

from saga_cli.k8s.values import values_of
from saga_cli.topology import PROCESSES, ServiceSpec

ROOT: Final = Path(__file__).parents[1]
HELM: Final = ROOT / "deploy" / "helm"
UMBRELLA: Final = HELM / "checkout"
ONE: Final = HELM / "checkout-service"
MADE_BY: Final = (
    "# Made by `python -m tests.docs_pages` from the manifests of the services: do not edit.\n"
)
MONITORING: Final = ("rules.yaml", "dashboard.json")
"""Of deploy/monitoring: a chart can only hold what is in its own folder."""


def release_of(spec: ServiceSpec) -> str:
    """Of a service its own; the console goes with the package."""
    return spec.version or version("choreographed-checkout")


def services_file(spec: ServiceSpec) -> str:
    """The values with which deploy/helm/checkout-service is this process."""
    return _written(values_of(spec, release_of(spec)))


def umbrella_values() -> str:
    return _written({spec.name: values_of(spec, release_of(spec)) for spec in PROCESSES})


def umbrella_chart() -> str:
    """The one chart, once for each process, each of which may be left out."""
    (own,) = yaml.safe_load_all((ONE / "Chart.yaml").read_text("utf-8"))
    place = f"file://../{ONE.name}"
    uses = [
        {
            "name": own["name"],
            "alias": spec.name,
            "version": own["version"],
            "repository": place,
            "condition": f"{spec.name}.enabled",
        }
        for spec in PROCESSES
    ]
    return _written(
        {
            "apiVersion": "v2",
            "name": UMBRELLA.name,
            "description": "The choreographed checkout: its services, the console, rules and a dashboard.",
            "type": "application",
            "version": own["version"],
            "kubeVersion": own["kubeVersion"],
            "dependencies": uses,
        }
    )


def _written(values: Any) -> str:
    return MADE_BY + yaml.safe_dump(values, sort_keys=False, width=110)


def helm_files() -> Iterator[tuple[Path, Callable[[], str]]]:
    for spec in PROCESSES:
        yield HELM / "services" / f"{spec.name}.yaml", partial(services_file, spec)
    yield UMBRELLA / "Chart.yaml", umbrella_chart
    yield UMBRELLA / "values.yaml", umbrella_values
    for name in MONITORING:
        copied = ROOT / "deploy" / "monitoring" / name
        yield UMBRELLA / "files" / name, partial(copied.read_text, "utf-8")
