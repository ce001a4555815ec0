"""Each package of the chassis has a public surface; the rest of the product imports nothing else of it."""

import ast
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import pytest

from tests.architecture.test_tidy import TREES, module_of
from tests.support.syntax import nodes_of

SURFACES: Final = {
    "chassis.auth": (
        *("AUDIT", "OPERATE", "SERVICE", "VIEW", "Caller", "InvalidTokenError", "IssuerKeys"),
        *("JwksSource", "JwtVerifier", "KeysAwayError", "Verifier", "WELL_KNOWN", "endpoint_in"),
    ),
    "chassis.effects": (
        *("Circuit", "CircuitState", "EffectWorker", "LocalEffectQueue", "WithDetails"),
        *("itself", "outcome_id"),
    ),
    "chassis.events": (
        *(
            "EARLIEST",
            "LATEST",
            "NAMESPACE",
            "UPCASTING",
            "Catalog",
            "Entry",
            "Envelope",
            "Headers",
        ),
        *("IncompleteError", "Listed", "MalformedError", "Recorded", "Upcaster", "dead_letters_of"),
        *(
            "check_origin",
            "decode",
            "decode_logged",
            "decode_record",
            "encode",
            "event_id",
            "identity_of",
            "name_of",
            "type_of",
        ),
        *("upcast", "versions"),
    ),
    "chassis.http": (
        *(
            "ACCEPTED_LATER",
            "PUBLIC",
            "Access",
            "Code",
            "Gate",
            "Granted",
            "GuardedRoute",
            "HttpServer",
            "IdempotencyKeyHeader",
            "LineText",
            "LocalWaiters",
            "Problem",
            "Resource",
        ),
        *(
            "add_fast_path",
            "app_of",
            "bound",
            "execute",
            "header",
            "key_in_path",
            "links",
            "listen",
        ),
        *("EventStreams", "LastEventIdHeader", "ServerEvent", "StreamStep"),
        *("allow_origins", "granted", "open_to", "rate_limits"),
        *("Body", "SagaKey", "example", "preferences", "read_or_none", "refusals"),
        *("Conditions", "Note", "ParkedKey", "make_app", "problem", "text"),
    ),
    "chassis.kafka": (
        *(
            "ANSWER_S",
            "COMMITS_KEPT",
            "KEEP_FOR_EVER",
            "PARTITIONS",
            "SESSION_S",
            "SessionTimeout",
            "UNREADABLE",
            "Cluster",
            "Consumer",
            "NotLetInError",
            "admin_client",
            "await_topics",
            "cluster",
            "ensure_topics",
            "homes_of",
            "missing_right",
            "is_consumed",
        ),
        *("make_consumer", "make_producer", "message_of", "partition_of", "places_of", "projected"),
        *(
            "NotPermittedError",
            "make_topics",
            "own_events",
            "reading",
            "reason_of",
            "start",
            "stop_within",
            "tls",
        ),
        *("topics_of", "unread"),
        *("check_part", "logged_event"),
    ),
    "chassis.outbox": ("RecentOutboxRows", "Relay", "Sender"),
    "chassis.postgres": (
        *("LOCK", "LOCK_CLASS", "POISON", "TRANSIENT", "Connection", "PostgresDatabase"),
        *("PostgresInspection", "PostgresStore", "ProjectedTable", "SharedTable", "StateTable"),
        *("migrations", "schema", "state_rows", "tables", "upgrading"),
    ),
    "chassis.process": (
        *("access", "fast_paths", "kafka_settings", "logs", "program", "retention", "runtime"),
        "settings",
    ),
    "chassis.redis": (
        *("AWAY", "LEASE_MS", "Keys", "Layout", "ProjectedHash", "Rebuild", "RedisDatabase"),
        *(
            "RedisInspection",
            "RedisStore",
            "Server",
            "SharedHash",
            "StateHash",
            "condemns",
            "keys",
            "reconnect",
            "rights",
        ),
    ),
}
"""A name is added here on purpose: whoever uses the chassis may rely on it from then on."""
FOR_SERVICES: Final = {
    *("bus.Committed", "clock", "commands.OverloadedError", "commands.refuse_card_numbers", "ids"),
    *(
        "metrics.Bounded",
        "metrics.WAITS_S",
        "pace.LONE",
        "pace.Pace",
        "shared_queries.SharedQueries",
    ),
    *("decision.Decision", "decision.Later", "decision.Refusal"),
    *("decision.impossible", "decision.nothing", "decision.publish"),
    *("errors.MisconfiguredError", "errors.ProviderError", "errors.RefusedError"),
    *(
        "errors.SecretError",
        "secret.NO_SECRET",
        "secret.RequiredSecret",
        "secret.Secret",
        "secret.SecretSettings",
    ),
    *("manifest.Call", "manifest.Manifest"),
    *("message.Decided", "message.Duplicate", "message.Message", "message.Parked"),
    *("service.Attempt", "service.EffectRunner", "service.Journal", "service.LookUp"),
    *("service.Provider", "service.Resolution", "service.Service", "tracing"),
}
"""What services use of the chassis' own modules, beside its packages."""

LOOK_INSIDE: Final = (
    *("tests/", "bench/peers/", "simulation/mutants/"),
    *("simulation/kafka_clients.py", "simulation/system.py"),
)


def outside(package: str) -> dict[str, ast.AST]:
    """The product's modules that are not in the package; what tests, or measures a part, looks inside."""
    return {
        name: tree
        for name, tree in TREES.items()
        if not name.startswith(LOOK_INSIDE) and not f"{module_of(name)}.".startswith(f"{package}.")
    }


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """What a module imports of a package, each as a dotted name."""
    parent, _, own = package.rpartition(".")
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if f"{a.name}.".startswith(f"{package}."))
        elif isinstance(node, ast.ImportFrom) and node.module:
            if f"{node.module}.".startswith(f"{package}."):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif node.module == parent:
                yield from (package for alias in node.names if alias.name == own)


def test_every_package_of_the_chassis_has_a_surface() -> None:
    found = {module_of(name) for name in TREES if name.endswith("/__init__.py")}
    assert {name for name in found if name.startswith("chassis.")} == set(SURFACES)


@pytest.mark.parametrize("package", SURFACES)
def test_a_surface_is_what_is_written_here(package: str) -> None:
    module = import_module(package)
    assert sorted(module.__all__) == sorted(SURFACES[package])
    lost = [name for name in module.__all__ if not hasattr(module, name)]
    assert all(find_spec(f"{package}.{name}") for name in lost)


@pytest.mark.parametrize("package", SURFACES)
def test_other_modules_import_a_packages_surface_alone(package: str) -> None:
    """A module that is a part of the surface is so with all its names."""
    surface = tuple(f"{package}.{name}." for name in SURFACES[package])

    def is_allowed(name: str) -> bool:
        return f"{name}.".startswith(surface)

    inside = {
        name: names
        for name, tree in outside(package).items()
        if (names := {n for n in imported(tree, package) if not is_allowed(n)})
    }
    assert inside == {}


def test_services_import_of_the_chassis_own_modules_what_is_written_here() -> None:
    packages = tuple(f"{package}." for package in SURFACES)
    used = {
        name.removeprefix("chassis.")
        for path, tree in TREES.items()
        if path.startswith("shared_events/") or "_svc/" in path
        for name in imported(tree, "chassis")
        if not f"{name}.".startswith(packages)
    }
    assert used == FOR_SERVICES


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from chassis.http import execute", {"chassis.http.execute"}),
        ("from chassis.http.problems import Problem", {"chassis.http.problems.Problem"}),
        ("import chassis.http.problems", {"chassis.http.problems"}),
        ("from chassis import http", {"chassis.http"}),
        ("from chassis.httpx import x", set()),
    ],
)
def test_an_import_is_found_whatever_its_form(line: str, found: set[str]) -> None:
    assert set(imported(ast.parse(line), "chassis.http")) == found
