"""What a process says at /metrics."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from saga_cli.stack.services import Instance


def sample(instance: Instance, metric: str, **labels: str) -> float | None:
    """The value of a service's metric with exactly these labels; None while it has none."""
    text = httpx.get(f"{instance.url}/metrics", timeout=10).text
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
    wanted = {"service": instance.spec.name} | labels
    return next((s.value for s in samples if s.name == metric and s.labels == wanted), None)
