"""Strimzi's resources: a cluster, each topic with its settings, each user with its rights."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from saga_cli.access.rights import rights, topics
from saga_cli.access.shown import Format, shown
from saga_cli.k8s.names import KAFKA, PART_OF, ClusterResource, resource

API: Final = "kafka.strimzi.io/v1"
VERSION: Final = "4.1.0"
COPIES, IN_SYNC = 3, 2
LABELS: Final = {**PART_OF, "strimzi.io/cluster": KAFKA}
SETTINGS: Final = {
    "auto.create.topics.enable": False,
    "default.replication.factor": COPIES,
    "min.insync.replicas": IN_SYNC,
    "offsets.topic.replication.factor": COPIES,
    "transaction.state.log.replication.factor": COPIES,
    "transaction.state.log.min.isr": IN_SYNC,
    "unclean.leader.election.enable": False,
    "delete.topic.enable": False,
    "log.message.timestamp.type": "CreateTime",
    "group.initial.rebalance.delay.ms": 3000,
    "group.min.session.timeout.ms": 1000,
    "connections.max.reauth.ms": 3_600_000,
}
ZONE: Final = "topology.kubernetes.io/zone"


def cluster(size: str) -> Iterator[ClusterResource]:
    """Three nodes that are brokers and controllers, each with a volume of `size`, spread over zones."""
    volume = {"type": "persistent-claim", "size": size, "deleteClaim": False}
    spread = {
        "maxSkew": 1,
        "topologyKey": ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"strimzi.io/cluster": KAFKA}},
    }
    pool = {
        "replicas": COPIES,
        "roles": ["controller", "broker"],
        "storage": {"type": "jbod", "volumes": [{"id": 0, "kraftMetadata": "shared", **volume}]},
        "template": {"pod": {"topologySpreadConstraints": [spread]}},
    }
    yield resource(API, "KafkaNodePool", "nodes", pool, metadata={"labels": LABELS})
    yield resource(API, "Kafka", KAFKA, {"kafka": _brokers(), "entityOperator": _operators()})


def _brokers() -> dict[str, Any]:
    listener = {
        "name": "login",
        "port": 9093,
        "type": "internal",
        "tls": True,
        "authentication": {"type": "scram-sha-512"},
    }
    return {
        "version": VERSION,
        "listeners": [listener],
        "authorization": {"type": "simple"},
        "config": SETTINGS,
        "rack": {"topologyKey": ZONE},
    }


def _operators() -> dict[str, Any]:
    return {"topicOperator": {}, "userOperator": {}}


def declared_topics() -> Iterator[ClusterResource]:
    """Topics are the log: the brokers refuse to delete one, also where its resource is deleted."""
    for name, (partitions, settings) in topics().items():
        spec = {
            "partitions": partitions,
            "replicas": COPIES,
            "config": {**settings, "min.insync.replicas": str(IN_SYNC)},
        }
        yield resource(API, "KafkaTopic", name, spec, metadata={"labels": LABELS})


def users() -> list[ClusterResource]:
    """As `saga acl --format strimzi` has them; each password is the operator's to make, in a secret."""
    return list(yaml.safe_load_all(shown(rights(), Format.STRIMZI, KAFKA)))
