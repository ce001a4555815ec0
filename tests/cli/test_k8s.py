"""What `saga k8s` renders is what the declarations say, under names that the charts use."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError

from chaos import mesh
from chaos.plan import TRACKS
from saga_cli.access.rights import PRINCIPALS, rights, topics
from saga_cli.k8s.kafka import COPIES
from saga_cli.topology import PROCESSES, SERVICES, STORED, ServiceSpec
from tests.support.helm import check, environment, files_of, rendered
from tests.support.saga import saga

Rendered = dict[str, dict[str, Any]]


def of(*words: str) -> list[dict[str, Any]]:
    ended = saga("k8s", *words)
    assert ended.code == 0, ended.err
    return list(yaml.safe_load_all(ended.out))


def named(*words: str) -> Rendered:
    found = of("render", *words)
    made = {f"{each['kind']} {each['metadata']['name']}": each for each in found}
    assert len(made) == len(found)
    return made


def test_each_declared_topic_is_there_with_its_settings() -> None:
    made = named("--only", "topics")
    assert made.keys() == {f"KafkaTopic {name}" for name in topics()}
    for name, (partitions, settings) in topics().items():
        spec = made[f"KafkaTopic {name}"]["spec"]
        assert (spec["partitions"], spec["replicas"]) == (partitions, COPIES)
        assert spec["config"] == {**settings, "min.insync.replicas": "2"}


def test_each_principal_has_its_declared_rights_and_no_others() -> None:
    made = named("--only", "users")
    assert made.keys() == {f"KafkaUser {name}" for name in PRINCIPALS}
    given = {
        (name, acl["resource"]["type"], acl["resource"]["name"], operation.upper())
        for name in PRINCIPALS
        for acl in made[f"KafkaUser {name}"]["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    }
    declared = {
        (r.principal, r.resource.value, r.name, r.operation.value.replace("_", ""))
        for r in rights()
    }
    assert given == declared


def test_a_record_is_in_two_of_three_brokers_and_no_topic_is_made_by_accident() -> None:
    made = named("--only", "kafka", "--size", "20Gi")
    broker = made["Kafka kafka"]["spec"]["kafka"]
    assert broker["config"]["auto.create.topics.enable"] is False
    assert broker["config"]["delete.topic.enable"] is False
    assert broker["config"]["unclean.leader.election.enable"] is False
    assert broker["config"]["min.insync.replicas"] == 2
    assert [(each["tls"], each["authentication"]) for each in broker["listeners"]] == [
        (True, {"type": "scram-sha-512"})
    ]
    assert broker["authorization"] == {"type": "simple"}
    pool = made["KafkaNodePool nodes"]["spec"]
    assert pool["replicas"] == 3
    assert [v["size"] for v in pool["storage"]["volumes"]] == ["20Gi"]


def test_each_database_has_its_owner_its_role_and_a_second_copy_of_each_commit() -> None:
    made = named("--only", "databases", "--backups", "s3://shop/postgres")
    clusters = {f"Cluster {spec.name}-db" for spec in STORED}
    plans = {f"ScheduledBackup {spec.name}-db" for spec in STORED}
    assert made.keys() == clusters | plans | {"ObjectStore backups"}
    store = made["ObjectStore backups"]["spec"]["configuration"]
    assert store["destinationPath"] == "s3://shop/postgres"
    for spec in STORED:
        found = made[f"Cluster {spec.name}-db"]["spec"]
        assert found["bootstrap"]["initdb"]["owner"] == spec.owner
        assert [role["name"] for role in found["managed"]["roles"]] == [spec.role]
        assert found["postgresql"]["synchronous"]["dataDurability"] == "required"
        (plugin,) = found["plugins"]
        assert plugin["isWALArchiver"] is True
        assert plugin["parameters"] == {"barmanObjectName": "backups"}
        plan = made[f"ScheduledBackup {spec.name}-db"]["spec"]
        assert plan["pluginConfiguration"]["name"] == plugin["name"]
    assert "plugins" not in named("--only", "databases")["Cluster order-db"]["spec"]


def test_redis_loses_nothing_that_it_acknowledged_and_asks_who_calls() -> None:
    made = named("--only", "redis")
    assert check(made.values()) == len(made)
    pod = made["StatefulSet redis"]["spec"]["template"]["spec"]
    command = " ".join(pod["containers"][0]["command"])
    assert "--appendonly yes --appendfsync always" in command
    assert "--maxmemory-policy noeviction" in command
    assert "--port 0 --tls-port 6379" in command
    assert "--aclfile /run/users/redis.acl" in command


@pytest.mark.parametrize("spec", PROCESSES, ids=lambda spec: spec.name)
def test_the_charts_use_what_is_rendered(spec: ServiceSpec) -> None:
    made, own = named(), rendered(spec.name)
    variables = environment(own["Deployment", spec.name])
    files = files_of(own["Deployment", spec.name])
    listener = made["Kafka kafka"]["spec"]["kafka"]["listeners"][0]
    assert (
        variables[f"{spec.prefix}_KAFKA_BOOTSTRAP"] == f"kafka-kafka-bootstrap:{listener['port']}"
    )
    assert f"KafkaUser {files['kafka-password'][0]}" in made
    if spec.has_database:
        cluster = made[f"Cluster {spec.name}-db"]["spec"]
        role = cluster["managed"]["roles"][0]["passwordSecret"]["name"]
        assert files["database-password"] == (role, "password")
        owner = files_of(own["Job", f"{spec.name}-migrate"])["owner-password"]
        assert owner == (cluster["bootstrap"]["initdb"]["secret"]["name"], "password")
        assert files["database-ca.crt"] == (f"{spec.name}-db-ca", "ca.crt")
    if spec.redis_database is not None:
        volumes = made["StatefulSet redis"]["spec"]["template"]["spec"]["volumes"]
        assert files["redis-ca.crt"][0] in {each["secret"]["secretName"] for each in volumes}


@pytest.mark.parametrize(
    "words", [("render",), ("render", "--backups", "s3://shop/x"), ("chaos",)], ids=" ".join
)
def test_the_operators_know_each_field(words: tuple[str, ...]) -> None:
    made = of(*words)
    assert check(made) == len(made) > 40


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("KafkaTopic", "spec.partition", 6),
        ("KafkaTopic", "spec.partitions", "six"),
        ("KafkaUser", "spec.authorization.type", "none"),
        ("Kafka", "spec.kafka.listeners", [{"name": "login"}]),
        ("KafkaNodePool", "spec.roles", ["leader"]),
        ("Cluster", "spec.instances", 0),
        ("Cluster", "spec.managed.role", []),
    ],
)
def test_what_an_operator_would_refuse_is_noticed(kind: str, path: str, value: Any) -> None:
    wrong = next(each for each in of("render") if each["kind"] == kind)
    *parents, last = path.split(".")
    within = wrong
    for name in parents:
        within = within[name]
    within[last] = value
    with pytest.raises(ValidationError):
        check([wrong])


def test_no_secret_is_rendered() -> None:
    assert not [name for name in named() if name.startswith("Secret ")]


def test_it_is_written_into_a_file_as_it_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "servers.yaml"
    ended = saga("k8s", "render", "--only", "redis", "--output", str(file))
    assert (ended.code, ended.out) == (0, f"2 resources in {file}\n")
    assert list(yaml.safe_load_all(file.read_text("utf-8"))) == of("render", "--only", "redis")
    nowhere = saga("k8s", "chaos", "--output", str(tmp_path / "none" / "x.yaml"))
    assert nowhere.code == 2
    assert "can't be written: No such file" in nowhere.err


def test_a_part_that_is_not_there_is_refused() -> None:
    ended = saga("k8s", "render", "--only", "mongodb")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "no such part: mongodb" in ended.err


def test_each_fault_of_a_plan_is_an_experiment_or_has_a_reason_why_not() -> None:
    made = {e["metadata"]["name"]: e["spec"] for e in of("chaos", "--namespace", "shop")}
    kinds = {kind for track in TRACKS for kind in track}
    first = {"stop a service": "stop-order", "kill postgres": "kill-postgres-order"}
    of_services = {"kill": "kill-order"} | {
        kind: f"{kind}-order-kafka" for kind in ("partition", "latency", "refuse")
    }
    for kind in kinds - mesh.NOT_THERE.keys():
        name = {**first, **of_services}.get(kind, kind.replace(" ", "-"))
        assert name in made, kind
    assert mesh.NOT_THERE.keys() <= kinds
    assert {f"clock-{spec.name}" for spec in SERVICES} <= made.keys()
    for spec in made.values():
        assert spec["selector"]["namespaces"] == ["shop"]
    links = {name for name in made if name.startswith("partition-")}
    assert len(links) == sum(1 + s.has_database + (s.redis_database is not None) for s in SERVICES)
