"""Bugs in the rights on Kafka, in what is made of a right that is missing, and in who gets a secret."""

from typing import Final

from simulation.edits.edit import Edit

PERMITTED: Final = "chassis/kafka/permitted.py"
OF_PERMITTED: Final = "tests/chassis/test_permitted.py::test_"
OF_RIGHTS: Final = "tests/cli/test_access.py::test_"
MOUNTED: Final = "saga_cli/stack/mounted.py"
OF_COMPOSE: Final = "tests/architecture/test_secured_compose.py::test_"

RIGHTS_EDITS: Final = (
    Edit(
        PERMITTED,
        "hidden-topic-counts-as-none",
        "    if hidden:\n",
        "    if not names:\n",
        (f"{OF_PERMITTED}a_topic_that_is_hidden_is_told_from_one_that_is_not_there",),
    ),
    Edit(
        PERMITTED,
        "refused-topic-counts-as-made",
        "if code not in {0, TopicAlreadyExistsError.errno}:",
        "if code < 0:",
        (f"{OF_PERMITTED}any_other_refusal_is_an_error_and_not_taken_for_a_topic",),
    ),
    Edit(
        "saga_cli/access/rights.py",
        "service-may-write-what-it-reads",
        "Operation.WRITE: own,",
        "Operation.WRITE: own | read,",
        (f"{OF_RIGHTS}every_topic_is_written_by_its_owner_alone",),
    ),
    Edit(
        "saga_cli/access/plan.py",
        "right-that-is-not-declared-stays",
        "if acl.permission == ALLOW)\n    made.notes",
        "if acl.permission != ALLOW)\n    made.notes",
        (f"{OF_RIGHTS}a_service_keeps_no_right_that_is_not_declared",),
    ),
    Edit(
        MOUNTED,
        "secrets-for-everybody-on-the-machine",
        "    folder.chmod(0o700)\n",
        "    folder.chmod(0o755)\n",
        (f"{OF_COMPOSE}each_secret_is_a_file_that_a_container_may_read_and_others_may_not",),
    ),
    Edit(
        MOUNTED,
        "certificate-is-good-until-it-ends",
        "- datetime.now(UTC) > RENEWED_BEFORE",
        "> datetime.now(UTC)",
        ("tests/cli/test_mounted.py::test_a_certificate_in_its_last_days_is_issued_anew",),
    ),
)
