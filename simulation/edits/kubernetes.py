"""Bugs in what is rendered for Kubernetes, and in what a tag releases."""

from functools import partial
from typing import Final

from simulation.edits.edit import Edit

RENDERED: Final = "tests/cli/test_k8s.py::test_"
FRESH: Final = (
    "tests/architecture/test_docs_fresh.py::test_a_file_that_is_made_is_fresh[order.yaml]"
)
TAG: Final = "tests/architecture/test_workflows.py::test_a_tag_releases_the_version_of_the_manifest"

_kafka = partial(Edit, "saga_cli/k8s/kafka.py")
_values = partial(Edit, "saga_cli/k8s/values.py")

KUBERNETES_EDITS: Final = (
    _kafka(
        "log-deleted-with-its-resource",
        '"delete.topic.enable": False',
        '"delete.topic.enable": True',
        (f"{RENDERED}a_record_is_in_two_of_three_brokers_and_no_topic_is_made_by_accident",),
    ),
    _kafka(
        "topics-without-their-settings",
        "{**settings, ",
        "{",
        (f"{RENDERED}each_declared_topic_is_there_with_its_settings",),
    ),
    _kafka(
        "field-that-no-operator-knows",
        '"kraftMetadata": "shared"',
        '"kraftMetaData": "shared"',
        (f"{RENDERED}the_operators_know_each_field[render]",),
    ),
    Edit(
        "Dockerfile",
        "image-with-all-services",
        "COPY ${SERVICE}_svc ${SERVICE}_svc",
        "COPY . .",
        ("tests/architecture/test_images.py::test_an_image_holds_one_service",),
    ),
    Edit(
        "saga_cli/k8s/stores.py",
        "commits-in-one-database",
        '"dataDurability": "required"',
        '"dataDurability": "preferred"',
        (f"{RENDERED}each_database_has_its_owner_its_role_and_a_second_copy_of_each_commit",),
    ),
    _values(
        "killed-before-the-stop-ends",
        "STAGES * STAGE_S",
        "STAGE_S",
        (FRESH,),
    ),
    _values(
        "service-with-the-owners-password",
        '"passwordSecret": _secret(names.password_of(spec.role))',
        '"passwordSecret": _secret(names.password_of(spec.owner))',
        (FRESH,),
    ),
    Edit(
        "chaos/mesh.py",
        "faults-in-all-namespaces",
        '{"namespaces": [namespace], **selector}',
        "{**selector}",
        (f"{RENDERED}each_fault_of_a_plan_is_an_experiment_or_has_a_reason_why_not",),
    ),
    Edit(
        "scripts/released.py",
        "tag-of-any-version",
        'if found["version"] != declared:',
        "if not declared:",
        (TAG,),
    ),
)
