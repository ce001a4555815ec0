"""`saga up --secure`: TLS, logins and rights on all servers, and everything works as it does without."""

import asyncio
import json
import os
import re
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil
import pytest
from aiokafka.errors import KafkaConnectionError
from redis import Redis
from redis.exceptions import AuthenticationError

from chassis.kafka import (
    Cluster,
    NotPermittedError,
    admin_client,
    ensure_topics,
    places_of,
    topics_of,
)
from guarantees.declared import service_of
from saga_cli import targets
from saga_cli.access import broker
from saga_cli.access.plan import acl_of
from saga_cli.access.right import READER, AclResource, Operation, Right
from saga_cli.access.rights import PRINCIPALS, rights, topics
from saga_cli.stack import state
from saga_cli.topology import ADMIN, BY_NAME, CONSOLE, SERVICES, Addresses, place_of
from tests.support.permissions import FORBIDDEN, OK, Answer, Asking, asking
from tests.support.saga import Ended, saga
from tests.support.stack import CHECKOUT, RunningStack, run
from tests.support.waiting import until

pytestmark = pytest.mark.long(90)
READ, WRITE, DESCRIBE = Operation.READ, Operation.WRITE, Operation.DESCRIBE
READY: Final = {"status": "ready", "reasons": []}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("secured")
    up = run(folder, "up", "--secure", "--detach")
    assert up.returncode == 0, up.stderr
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            yield RunningStack(folder, up.stdout)
    finally:
        run(folder, "down")


def addresses() -> Addresses:
    """What the state file says, as commands read it."""
    found = targets.found().addresses
    assert found is not None
    return found


@cache
def as_alice(_folder: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {saga('token', 'alice').out.strip()}"}


def asked(shop: RunningStack, method: str, path: str, **how: Any) -> httpx.Response:
    headers = {**as_alice(shop.folder), **how.pop("headers", {})}
    url = shop.process("order-1").address
    return httpx.request(method, f"{url}{path}", headers=headers, timeout=60, **how)


def placed(shop: RunningStack, wait_s: int = 30, **changes: Any) -> dict[str, Any]:
    how = {"Prefer": f"wait={wait_s}"} if wait_s else {}
    answer = asked(shop, "POST", "/checkout", json={**CHECKOUT, **changes}, headers=how)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def cancelled(shop: RunningStack, order_id: str) -> None:
    def ask() -> bool:
        return asked(shop, "POST", f"/orders/{order_id}/cancel").status_code in {200, 202, 409}

    until(ask)


def state_of(shop: RunningStack, order_id: str) -> str:
    return str(asked(shop, "GET", f"/orders/{order_id}").json()["state"])


def settled(shop: RunningStack, order_id: str, *wanted: str) -> str:
    ends = wanted or ("CONFIRMED", "CANCELLED")
    return str(until(lambda: next((e for e in ends if state_of(shop, order_id) == e), None), 90))


def test_orders_settle_and_every_book_of_them_agrees(shop: RunningStack, tmp_path: Path) -> None:
    good, bad = placed(shop), placed(shop, lines=[{"sku": "SOLD-OUT", "quantity": 1}])
    assert (good["state"], bad["state"]) == ("CONFIRMED", "CANCELLED")
    gone = placed(shop)["order_id"]
    cancelled(shop, gone)
    assert settled(shop, gone, "CANCELLED") == "CANCELLED"
    assert "order.placed.v1" in saga("timeline", good["order_id"]).out
    assert "All books agree" in saga("reconcile").out
    archived = saga("archive", str(tmp_path / "log"))
    assert archived.code == 0, archived
    assert saga("stop", "payment").code == 0
    rebuilt = saga("replay", "payment", "--in-place", "--yes")
    assert rebuilt.code == 0, rebuilt
    assert saga("start", "payment").code == 0
    verified = saga("verify", "--archive", str(tmp_path / "log"))
    assert verified.code == 0, verified
    assert placed(shop)["state"] == "CONFIRMED"
    assert saga("topics", "apply", "--check").code == 0


def test_secrets_are_in_files_of_their_owner_and_nowhere_else(shop: RunningStack) -> None:
    folder, found = addresses().secured, addresses()
    assert folder is not None
    secrets = {*found.passwords.values(), urlsplit(found.postgres_url).password or "?"}
    for process in shop.stack["processes"]:
        alive = psutil.Process(process["pid"])
        words = " ".join(alive.cmdline())
        assert not any(secret in words for secret in secrets), process["name"]
        if any(process["name"].startswith(spec.name) for spec in SERVICES):
            given = {n: t for n, t in alive.environ().items() if n not in os.environ}
            assert not any(secret in text for secret in secrets for text in given.values())
            log = Path(process["log"]).read_text()
            assert not any(secret in log for secret in secrets), process["name"]
    files = [*folder.rglob("secrets/**/*"), shop.folder / state.FILE, *folder.glob("tls/*.key")]
    kept = [file for file in files if file.is_file()]
    assert len(kept) > len(SERVICES)
    assert {stat.S_IMODE(file.stat().st_mode) for file in kept} == {0o600}


def test_who_does_not_log_in_is_let_in_nowhere(shop: RunningStack) -> None:
    found = addresses()
    plain = Cluster(found.kafka.bootstrap)
    bare = f"postgresql://{place_of(found.postgres_url)}/order_db?user=order_svc&sslmode=disable"
    login = found.database_url(SERVICES[0]).partition("?")[0]
    nowhere = login.replace("order_db", "payment_db") + "?sslmode=require"

    async def knock() -> None:
        with pytest.raises(KafkaConnectionError):
            async with admin_client(plain, 3):
                pass
        for url in (bare, f"{login}?sslmode=disable", nowhere):
            with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no pg_hba"):
                await asyncpg.connect(url, timeout=10)

    asyncio.run(knock())
    redis = Redis.from_url(f"redis://{place_of(found.redis_url)}/0")
    with redis, pytest.raises(AuthenticationError):
        redis.ping()


@contextmanager
def without(
    principal: str, resource: AclResource, name: str, operation: Operation
) -> Iterator[None]:
    """The right is taken back, and given again."""
    acl = acl_of(Right(principal, resource, name, operation))

    async def ask(change: Callable[..., Any]) -> None:
        async with admin_client(addresses().kafka) as admin:
            await change(admin, [acl])

    asyncio.run(ask(broker.take))
    try:
        yield
    finally:
        asyncio.run(ask(broker.give))


def reasons(shop: RunningStack, service: str) -> dict[str, str]:
    found = httpx.get(f"{shop.process(f'{service}-1').address}/health/ready", timeout=30).json()
    return {each["reason"]: each["detail"] for each in found["reasons"]}


def measured(shop: RunningStack, service: str, metric: str) -> float:
    text = httpx.get(f"{shop.process(f'{service}-1').address}/metrics", timeout=30).text
    return sum(
        float(value)
        for value in re.findall(rf"^{re.escape(metric)}.* ([\d.e+]+)$", text, re.MULTILINE)
    )


REVOKED: Final = {
    "a topic that is read": (
        *(AclResource.TOPIC, "inventory.forward", Operation.READ),
        *("kafka_forbidden", "inventory.forward"),
    ),
    "a topic that is written": (
        *(AclResource.TOPIC, "payment.forward", Operation.WRITE),
        *("relay_failing", "payment.forward"),
    ),
    "the group": (AclResource.GROUP, "payment", READ, "kafka_away", "payment"),
}


@pytest.mark.parametrize("right", REVOKED)
def test_a_right_that_is_taken_back_is_reported_and_orders_go_on_when_it_is_given_again(
    shop: RunningStack, right: str
) -> None:
    """Nothing is parked or lost, and nothing spins."""
    resource, name, operation, reason, named = REVOKED[right]
    rebuilds = measured(shop, "payment", "saga_consumer_rebuilds_total")
    before, orders = placed(shop)["order_id"], list[str]()

    def is_reported() -> bool:
        orders.append(placed(shop, wait_s=0)["order_id"])
        return named in reasons(shop, "payment").get(reason, "")

    with without("payment", resource, name, operation):
        until(is_reported, what=reason)
        degraded = f'saga_degraded{{reason="{reason}",service="payment"}}'
        until(lambda: measured(shop, "payment", degraded) == 1)
        orders.append(placed(shop, wait_s=0)["order_id"])
        if operation is READ and resource is AclResource.TOPIC:  # what it may read goes on
            cancelled(shop, before)
            assert settled(shop, before, "CANCELLED") == "CANCELLED"
            assert named in reasons(shop, "payment").get(reason, "")
        assert state_of(shop, orders[-1]) == "PENDING"
    assert {settled(shop, order_id) for order_id in orders} == {"CONFIRMED"}
    until(lambda: reasons(shop, "payment") == {}, what="a service that is well")
    assert measured(shop, "payment", "saga_consumer_rebuilds_total") - rebuilds < 60
    assert json.loads(saga("dead-letters", "list", "payment", "--json").out) == []


TOPICS: Final = sorted(topics(moving=True))
"""Topics of before as well: what nobody may write any more is there all the same."""


def applied(*words: str, user: str = ADMIN) -> Ended:
    variables = addresses().kafka_of(user).variables("SAGA") if user != ADMIN else {}
    return saga("topics", "apply", *words, **variables)


@pytest.fixture(scope="module")
def former(shop: RunningStack) -> None:
    """The topics of any layout, and the rights of lanes: what a move needed is taken back."""
    moving = applied("--moving")
    assert moving.code == 0, moving
    assert "order.events: made with 6 partitions, copies of each: 1" in moving.out
    assert "User:order may WRITE topic order.events" in moving.out
    after = applied()
    assert after.code == 0, after
    assert "User:order may WRITE topic order.events: taken back" in after.out


def test_what_is_applied_again_changes_nothing_and_a_check_never_does(former: None) -> None:
    asked = applied("--moving", "--check", "--json")
    assert asked.code == 1, asked
    assert asked.json["changed"] is False
    assert "User:order may WRITE topic order.events" in asked.json["changes"]
    assert applied() == Ended(0, "Nothing has to be changed.\n", "")
    assert applied("--check").code == 0


@pytest.mark.parametrize("user", ["order", READER])
def test_only_an_administrator_applies_rights(shop: RunningStack, user: str) -> None:
    refused = applied(user=user)
    assert refused.code == 2
    assert refused.err.startswith("saga: Kafka gives this user no right to see or change rights")
    assert refused.err.count("\n") == 1


def test_the_console_reads_the_log_as_a_user_of_its_own(shop: RunningStack) -> None:
    order_id = placed(shop)["order_id"]
    url = shop.process("console-1").address
    token = saga("token", "vera", "--scope", "view").out.strip()
    headers = {"Authorization": f"Bearer {token}"}
    until(lambda: httpx.get(f"{url}/orders/{order_id}", headers=headers).is_success, 60)
    assert httpx.get(f"{url}/health/ready").json() == READY


@asynccontextmanager
async def one_of(principal: str) -> AsyncIterator[Asking]:
    async with asking(addresses().kafka_of(principal).options()) as asked:
        yield asked


def allowed(principal: str, *operations: Operation) -> set[str]:
    return {
        right.name
        for right in rights()
        if right.resource is AclResource.TOPIC
        and right.principal == principal
        and right.operation in operations
    }


def expected(permitted: set[str]) -> dict[str, Answer]:
    return {topic: OK if topic in permitted else FORBIDDEN for topic in TOPICS}


@pytest.mark.parametrize("principal", PRINCIPALS)
async def test_a_principal_writes_and_reads_what_is_declared_and_nothing_else(
    former: None, principal: str
) -> None:
    async with one_of(principal) as ask:
        assert await ask.write(TOPICS) == expected(allowed(principal, WRITE))
        assert await ask.read(TOPICS) == expected(allowed(principal, READ))
        assert await ask.see(TOPICS) == expected(allowed(principal, READ, WRITE, DESCRIBE))
        assert await ask.settings(TOPICS) == expected(
            allowed(principal, Operation.DESCRIBE_CONFIGS)
        )
        only_reads = principal in {READER, CONSOLE.name}
        assert await ask.write_idempotently() == (FORBIDDEN if only_reads else OK)


@pytest.mark.parametrize("principal", PRINCIPALS)
async def test_a_principal_is_in_its_own_group_and_in_no_other(
    former: None, principal: str
) -> None:
    topic = min(allowed(principal, READ))
    async with one_of(principal) as ask:
        for group in BY_NAME:
            own = OK if group == principal else FORBIDDEN
            assert await ask.join(group) == own
            assert await ask.commit(group, topic) == own
            assert await ask.describe_group(group) == (OK if principal == READER else own)


@pytest.mark.parametrize("principal", PRINCIPALS)
async def test_a_principal_administers_nothing(former: None, principal: str) -> None:
    own = min(allowed(principal, WRITE) or allowed(principal, READ))
    async with one_of(principal) as ask:
        found = await ask.administer(own)
    assert found == dict.fromkeys(found, FORBIDDEN)


async def test_a_topic_that_may_not_be_seen_is_not_taken_for_one_that_is_not_there(
    shop: RunningStack,
) -> None:
    cluster = addresses().kafka_of("payment")
    with pytest.raises(NotPermittedError, match=r"no right to order\.forward; `saga topics apply`"):
        await places_of(cluster, ["payment.forward", "order.forward"])


async def test_a_service_makes_no_topic_and_says_who_does(former: None) -> None:
    """And where it finds its topics, it asks for nothing."""
    cluster, own = addresses().kafka_of("payment"), topics_of(service_of("payment"))
    assert {*own} <= await ensure_topics(cluster, own)
    async with admin_client(addresses().kafka) as admin:
        await admin.delete_topics(["payment.events"])
    with pytest.raises(NotPermittedError) as refused:
        await ensure_topics(cluster, {**own, "payment.events": own["payment.forward"]})
    assert str(refused.value) == (
        "payment.events: missing, and Kafka does not let this client make topics;"
        " `saga topics apply` makes them"
    )


def test_down_leaves_nothing(shop: RunningStack) -> None:
    folder, pids = addresses().secured, [p["pid"] for p in shop.stack["processes"]]
    assert folder is not None
    assert run(shop.folder, "down").returncode == 0
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not folder.exists()
    assert not (shop.folder / state.FILE).exists()
