"""The charts: what Helm renders of them runs each process as its manifest and its settings say."""

import re
from pathlib import Path
from typing import Any, Final

import helm_python
import pytest
import yaml

from chassis.kafka.topics import PARTITIONS
from saga_cli.topology import CONSOLE, PROCESSES, SERVICES, ServiceSpec
from tests.architecture.test_topology import settings_of
from tests.helm_page import HELM, ONE, ROOT, UMBRELLA
from tests.support.helm import (
    check,
    environment,
    files_of,
    merged,
    pods,
    rendered,
    umbrella,
    values_for,
)

pytestmark = pytest.mark.long(15)

MOUNTED: Final = "/run/secrets/checkout/"
EXAMPLES: Final = sorted((HELM / "examples").glob("*.yaml"))
NOT_WITHIN: Final = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}
SPACE: Final = {"kubernetes.io/metadata.name": "monitoring"}
each_process = pytest.mark.parametrize("spec", PROCESSES, ids=lambda spec: spec.name)


def deployment(spec: ServiceSpec, **more: Any) -> dict[str, Any]:
    return rendered(spec.name, **more)["Deployment", spec.name]


def container(spec: ServiceSpec, **more: Any) -> dict[str, Any]:
    (found,) = deployment(spec, **more)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def egress(spec: ServiceSpec, policy: str = "") -> dict[int, list[dict[str, Any]]]:
    """Whom it may call, by port."""
    found = rendered(spec.name)["NetworkPolicy", policy or spec.name]["spec"]
    assert found["policyTypes"] == ["Ingress", "Egress"]
    return {p["port"]: rule["to"] for rule in found["egress"] for p in rule["ports"]}


@each_process
def test_helm_finds_no_fault(spec: ServiceSpec) -> None:
    found = helm_python.lint(ONE, values_for(spec.name), strict=True)
    assert [m for m in found["messages"] if m["severity"] > 1] == []


@each_process
def test_what_is_rendered_is_what_kubernetes_and_the_operators_know(spec: ServiceSpec) -> None:
    for mode in ("hpa", "keda"):
        everything = {"autoscaling": {"mode": mode}, "global": {"monitoring": {"enabled": True}}}
        count = check(rendered(spec.name, **everything).values())
        assert count == (8 if spec.has_database else 6)


@each_process
def test_variables_are_settings_and_none_that_is_required_is_missing(spec: ServiceSpec) -> None:
    fields = settings_of(spec).model_fields
    required = {f"{spec.prefix}_{n.upper()}" for n, field in fields.items() if field.is_required()}
    known = {f"{spec.prefix}_{name.upper()}" for name in fields}
    made = rendered(spec.name)
    jobs = [made["Job", f"{spec.name}-migrate"]] if spec.has_database else []
    for each in (made["Deployment", spec.name], *jobs):
        given = environment(each)
        assert required <= given.keys()
        assert {name.removesuffix("_FILE") for name in given} - known <= {
            *(f"{spec.prefix}_{store}_CA" for store in ("KAFKA", "DATABASE", "REDIS"))
        }


@each_process
def test_a_secret_is_a_file_of_its_own_and_each_file_that_is_named_is_mounted(
    spec: ServiceSpec,
) -> None:
    made = rendered(spec.name)
    of_stores = {"kafka-password": (spec.name, "password")}
    if spec.has_database:
        role = f"postgres-{spec.name}-svc"
        of_stores["database-password"] = (role, "password")
    if spec.redis_database is not None:
        of_stores["redis-password"] = (f"redis-{spec.name}", "password")
    found = files_of(made["Deployment", spec.name])
    assert {n: s for n, s in found.items() if n.endswith("password")} == of_stores
    for kind in ("Deployment", "Job"):
        for each in (r for (k, _), r in made.items() if k == kind):
            named = {v for v in environment(each).values() if v.startswith(MOUNTED)}
            assert named == {MOUNTED + name for name in files_of(each)}
            urls = [v for v in environment(each).values() if "://" in v and "{" not in v]
            assert not [url for url in urls if re.search(r"//[^/@]*:[^/@]*@", url)]
    assert not [kind for kind, _ in made if kind == "Secret"]


@each_process
def test_only_the_migration_has_the_owners_password_and_runs_before(spec: ServiceSpec) -> None:
    made = rendered(spec.name)
    if not spec.has_database:
        assert not [key for key in made if key[0] == "Job"]
        return
    job = made["Job", f"{spec.name}-migrate"]
    annotations = job["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
    (own,) = job["spec"]["template"]["spec"]["containers"]
    assert own["command"] == ["python", "-m", spec.module, "migrate"]
    assert files_of(job)["owner-password"] == (f"postgres-{spec.name}-owner", "password")
    assert "kafka-password" not in files_of(job)
    assert "owner-password" not in files_of(made["Deployment", spec.name])
    policy = made["NetworkPolicy", f"{spec.name}-migrate"]["metadata"]["annotations"]
    assert policy["helm.sh/hook"] == annotations["helm.sh/hook"]
    assert int(policy["helm.sh/hook-weight"]) < int(annotations["helm.sh/hook-weight"])


@each_process
def test_a_pod_may_write_nothing_and_become_nobody_else(spec: ServiceSpec) -> None:
    found = [*pods(rendered(spec.name))]
    assert len(found) == 1 + spec.has_database
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for each in pod["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert [mount.get("readOnly") for mount in each["volumeMounts"]] == [True]
            assert each["resources"]["limits"]["memory"]


@pytest.mark.parametrize("drain", [0, 10, 120])
def test_a_kill_comes_after_the_longest_stop(drain: int) -> None:
    """docs/operators.md: a stop takes at most 24 s plus the drain; the sleep before it counts too."""
    pod = deployment(SERVICES[0], drainSeconds=drain)["spec"]["template"]["spec"]
    own = pod["containers"][0]
    before = own["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > before + drain + 24
    assert environment(deployment(SERVICES[0], drainSeconds=drain))["ORDER_HTTP_DRAIN_S"] == str(
        drain
    )


@each_process
def test_an_outage_of_a_server_takes_a_process_out_of_service_and_kills_nobody(
    spec: ServiceSpec,
) -> None:
    own = container(spec)
    paths = {n: own[f"{n}Probe"]["httpGet"]["path"] for n in ("startup", "readiness", "liveness")}
    assert paths == {
        "startup": "/health/live",
        "readiness": "/health/ready",
        "liveness": "/health/live",
    }
    starts_s = own["startupProbe"]["periodSeconds"] * own["startupProbe"]["failureThreshold"]
    assert starts_s >= (600 if spec.has_database else 3600)
    assert deployment(spec)["spec"]["progressDeadlineSeconds"] > starts_s
    assert [p["containerPort"] for p in own["ports"]] == [spec.port]


@each_process
def test_an_upgrade_never_has_fewer_and_a_drained_node_takes_one(spec: ServiceSpec) -> None:
    made = rendered(spec.name)
    found = made["Deployment", spec.name]["spec"]
    assert found["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    budget = made["PodDisruptionBudget", spec.name]["spec"]
    assert budget["maxUnavailable"] == 1
    selector = found["selector"]["matchLabels"]
    assert budget["selector"]["matchLabels"] == selector
    assert made["Service", spec.name]["spec"]["selector"] == selector
    assert selector.items() <= found["template"]["metadata"]["labels"].items()
    spread = found["template"]["spec"]["topologySpreadConstraints"]
    assert {each["labelSelector"]["matchLabels"] == selector for each in spread} == {True}
    assert len({each["topologyKey"] for each in spread}) == 2


@each_process
def test_a_process_calls_its_own_stores_and_no_other_service(spec: ServiceSpec) -> None:
    found = egress(spec)
    ports = {53, 9093, 443}
    ports |= {5432} if spec.has_database else set()
    ports |= {6379} if spec.redis_database is not None else set()
    ports |= {each.port for each in SERVICES} if spec is CONSOLE else set()
    assert found.keys() == ports
    if spec.has_database:
        own = [{"podSelector": {"matchLabels": {"cnpg.io/cluster": f"{spec.name}-db"}}}]
        assert found[5432] == own
        assert egress(spec, f"{spec.name}-migrate").keys() == {53, 5432}
    assert {*found[443][0]["ipBlock"]["except"]} == NOT_WITHIN


@pytest.mark.parametrize("name", ["inventory", "loyalty"])
def test_sentinels_are_asked_for_the_primary_with_a_secret_of_their_own(name: str) -> None:
    watched = {
        "host": "points",
        "sentinels": ["redis-0.redis:26379", "redis-1.redis:26379"],
        "sentinelUser": "watcher",
        "sentinelPasswordSecret": {"name": "redis-sentinels"},
    }
    made = rendered(name, redis=watched)
    variables, p = environment(made["Deployment", name]), name.upper()
    assert re.fullmatch(rf"rediss://{name}@points/\d", variables[f"{p}_REDIS_URL"])
    assert variables[f"{p}_REDIS_SENTINELS"] == ",".join(watched["sentinels"])
    assert variables[f"{p}_REDIS_SENTINEL_USER"] == "watcher"
    file = "redis-sentinel-password"
    assert variables[f"{p}_REDIS_SENTINEL_PASSWORD_FILE"] == MOUNTED + file
    assert files_of(made["Deployment", name])[file] == ("redis-sentinels", "password")
    rules = made["NetworkPolicy", name]["spec"]["egress"]
    assert [{"port": 6379}, {"port": 26379}] in [rule["ports"] for rule in rules]
    none = environment(rendered(name)["Deployment", name])
    assert [variable for variable in none if "SENTINEL" in variable] == []


@each_process
def test_no_service_is_called_by_another(spec: ServiceSpec) -> None:
    """But by the gateway, Prometheus and the console; a migration by nobody."""
    made = rendered(spec.name)
    (rule,) = made["NetworkPolicy", spec.name]["spec"]["ingress"]
    assert rule["ports"] == [{"port": "http"}]
    pods_ = [each["podSelector"]["matchLabels"] for each in rule["from"] if "podSelector" in each]
    assert pods_ == [{"app.kubernetes.io/name": CONSOLE.name}]
    spaces = {
        name
        for each in rule["from"]
        for name in each.get("namespaceSelector", {}).get("matchLabels", {}).values()
    }
    assert spaces == {"ingress", "monitoring"}
    selected = made["NetworkPolicy", spec.name]["spec"]["podSelector"]["matchLabels"]
    labels = made["Deployment", spec.name]["spec"]["template"]["metadata"]["labels"]
    assert selected.items() <= labels.items()
    if spec.has_database:
        assert "ingress" not in made["NetworkPolicy", f"{spec.name}-migrate"]["spec"]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://collector.monitoring:4318", 4318),
        ("http://collector.monitoring:4318/otlp", 4318),
        ("https://otlp.example.com", 443),
        ("https://otlp.example.com/v1/", 443),
        ("http://collector", 80),
        ("http://[fd00::1]", 80),
        ("http://[fd00::1]:4318", 4318),
    ],
)
def test_traces_go_to_the_port_of_their_endpoint(endpoint: str, port: int) -> None:
    """Where it names none, it is that of the scheme."""
    policy = rendered("order", **{"global": {"otlpEndpoint": endpoint}})["NetworkPolicy", "order"]
    (rule,) = [
        each
        for each in policy["spec"]["egress"]
        if each["to"] == [{"namespaceSelector": {"matchLabels": SPACE}}]
    ]
    assert rule["ports"] == [{"port": port}]


@each_process
def test_it_is_scaled_by_how_long_records_wait_up_to_its_partitions(spec: ServiceSpec) -> None:
    limit = 1 if spec is CONSOLE else PARTITIONS
    made = rendered(spec.name, autoscaling={"mode": "keda"})
    assert "replicas" not in made["Deployment", spec.name]["spec"]
    keda = made["ScaledObject", spec.name]["spec"]
    assert keda["minReplicaCount"] == min(2, limit)
    assert keda["maxReplicaCount"] == limit
    lag = keda["triggers"][0]
    assert lag["metricType"] == "Value"
    assert lag["metadata"]["query"].startswith(
        f'max(saga_consumer_lag_seconds{{service="{spec.name}",namespace="shop"}} > 0)'
    )
    hpa = rendered(spec.name, autoscaling={"mode": "hpa"})["HorizontalPodAutoscaler", spec.name]
    assert hpa["spec"]["maxReplicas"] == limit
    metric = hpa["spec"]["metrics"][0]["external"]
    assert metric["metric"]["name"] == "saga_consumer_lag_seconds"
    assert deployment(spec)["spec"]["replicas"] == 2


def test_the_adapter_serves_the_lag_that_a_service_is_scaled_by() -> None:
    hpa = rendered("order", autoscaling={"mode": "hpa"})["HorizontalPodAutoscaler", "order"]
    asked = hpa["spec"]["metrics"][0]["external"]
    (rule,) = yaml.safe_load((ROOT / "deploy/monitoring/adapter.yaml").read_text("utf-8"))["rules"][
        "external"
    ]
    assert rule["name"]["as"] == asked["metric"]["name"]
    assert rule["seriesQuery"].startswith(f"{asked['metric']['name']}{{")
    assert {*asked["metric"]["selector"]["matchLabels"]} == {"service"}
    assert asked["target"]["type"] == "Value"
    assert rule["metricsQuery"].startswith("max(")


def test_metrics_are_scraped_as_the_rules_ask_for_them(tmp_path: Path) -> None:
    on = tmp_path / "on.yaml"
    on.write_text("global: {monitoring: {enabled: true}}")
    made = umbrella(tmp_path, on)
    monitors = {n: r["spec"] for (kind, n), r in made.items() if kind == "ServiceMonitor"}
    assert monitors.keys() == {spec.name for spec in PROCESSES}
    for name, found in monitors.items():
        labels = made["Service", name]["metadata"]["labels"]
        assert labels[found["jobLabel"]] == "checkout"
        assert [e["honorLabels"] for e in found["endpoints"]] == [True]
    rules = yaml.safe_load((ROOT / "deploy/monitoring/rules.yaml").read_text("utf-8"))
    assert made["PrometheusRule", "checkout"]["spec"] == rules
    dashboard = made["ConfigMap", "checkout-dashboard"]["data"]["checkout.json"]
    assert dashboard == (ROOT / "deploy/monitoring/dashboard.json").read_text("utf-8")
    assert check(made.values()) > 30


def test_the_umbrella_is_the_services_and_no_more(tmp_path: Path) -> None:
    made = umbrella(tmp_path)
    for spec in PROCESSES:
        alone = rendered(spec.name)
        found = made["Deployment", spec.name]
        assert environment(found) == environment(alone["Deployment", spec.name])
        assert {key for key in made if key in alone} == alone.keys()
    assert not [kind for kind, _ in made if kind == "PrometheusRule"]
    without = tmp_path / "without.yaml"
    without.write_text("console: {enabled: false}")
    names = {n for kind, n in umbrella(tmp_path, without) if kind == "Deployment"}
    assert names == {spec.name for spec in SERVICES}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_of_managed_servers_renders_and_names_what_there_is(
    example: Path, tmp_path: Path
) -> None:
    given = yaml.safe_load(example.read_text("utf-8"))
    defaults = yaml.safe_load((UMBRELLA / "values.yaml").read_text("utf-8"))
    of_chart = yaml.safe_load((ONE / "values.yaml").read_text("utf-8"))
    for name, own in given.items():
        known = of_chart["global"] if name == "global" else merged(of_chart, defaults[name])
        assert unknown(own, known) == set()
    made = umbrella(tmp_path, example)
    assert check(made.values()) > 30
    for spec in PROCESSES:
        variables = environment(made["Deployment", spec.name])
        bootstrap = given["global"]["kafka"]["bootstrap"]
        assert variables[f"{spec.prefix}_KAFKA_BOOTSTRAP"] == bootstrap
        assert f"{spec.prefix}_KAFKA_CA_FILE" not in variables


def unknown(
    given: dict[str, Any], known: dict[str, Any], open_to: str = "env secretFiles"
) -> set[str]:
    """Values that no template reads: Helm would take them in silence."""
    found = {name for name in given if name not in known} - {"user"}
    for name in given.keys() & known.keys() - set(open_to.split()):
        if isinstance(given[name], dict) and name != "labels":
            found |= unknown(given[name], known[name])
    return found


def test_a_providers_keys_come_as_files() -> None:
    key = {"name": "stripe", "key": "api-key"}
    payment = next(spec for spec in SERVICES if spec.name == "payment")
    found = deployment(payment, secretFiles={"STRIPE_API_KEY": key})
    assert environment(found)["STRIPE_API_KEY_FILE"] == f"{MOUNTED}STRIPE_API_KEY"
    assert files_of(found)["STRIPE_API_KEY"] == ("stripe", "api-key")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"global": {"auth": {"issuer": ""}}}, "global.auth.issuer"),
        ({"env": {"STRIPE_API_KEY": "sk_live"}}, "propertyNames|STRIPE_API_KEY"),
        ({"replicas": 0}, "replicas"),
        ({"database": {"pasword": "x"}}, "pasword"),
        ({"autoscaling": {"mode": "vpa"}}, "mode"),
        ({"autoscaling": {"minReplicas": 0}}, "minReplicas"),
        ({"autoscaling": {"lagSeconds": 0}}, "lagSeconds"),
        ({"autoscaling": {"cpuPercent": 7.5}}, "cpuPercent"),
        ({"version": "1.2.3+local"}, "version"),
        ({"podAnnotations": {"scrape": True}}, "podAnnotations/scrape"),
        ({"database": {"peers": []}}, "database/peers"),
        ({"global": {"image": {"tag": 1.10}}}, "image/tag"),
        ({"global": {"image": {"pullPolicy": "always"}}}, "pullPolicy"),
        ({"global": {"kafka": {"bootstrap": "kafka"}}}, "bootstrap"),
        ({"global": {"kafka": {"bootstrap": "kafka:9092,"}}}, "bootstrap"),
        ({"global": {"kafka": {"peers": []}}}, "kafka/peers"),
        ({"global": {"monitoring": {"labels": {"release": 1}}}}, "labels/release"),
        ({"global": {"networkPolicy": {"from": []}}}, "networkPolicy/from"),
        ({"global": {"networkPolicy": {"outside": []}}}, "networkPolicy/outside"),
        ({"global": {"otlpEndpoint": "collector:4318"}}, "otlpEndpoint"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_values_are_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(helm_python.HelmError, match=why):
        rendered("payment", **wrong)
