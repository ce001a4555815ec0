"""The last release and today's code as running processes: forward one by one, and back, under load.

The short form of `make upgrade-matrix`. One service goes back, from the middle of the chain.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from saga_cli.deploy.stored import orders_in
from saga_cli.stack.seed import seed
from saga_cli.topology import BY_NAME
from tests.support import releases
from tests.support.problems import problem_of
from tests.support.servers import private_stack
from tests.support.upgrading import TODAY, Deployment, UnderLoad

pytestmark = pytest.mark.long(60)
BACK: Final = "payment"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """All services of the last release, and a small shop."""
    code = releases.unpacked_into(tmp_path_factory.mktemp("old"), releases.newest())
    with private_stack() as (services, _):
        made = Deployment(services, {"old": code, "new": TODAY})
        made.start("old")
        seed(services.url)
        yield made


def test_each_service_goes_forward_alone_and_back_and_no_order_is_lost(
    deployment: Deployment,
) -> None:
    under_load = UnderLoad(deployment)
    asyncio.run(under_load.take(_forward_and_back))
    assert under_load.violations() == []
    assert {"200", "201"} & {*under_load.customers.tries}
    assert len(under_load.customers.placed) >= 3 * len(BY_NAME)


def _forward_and_back(load: UnderLoad) -> None:
    deployment = load.deployment
    load.await_more(3)
    for name in BY_NAME:
        answer = httpx.get(f"{deployment.services.url(name)}/version")
        assert problem_of(answer) == (404, "not_found"), "the last release has no such route"
        deployment.roll(name, "new")
        assert deployment.members(name) == 1, "Kafka waits 6 s for one that did not leave its group"
        assert _version(deployment, name) == BY_NAME[name].version
        load.await_more(3)
    assert deployment.check(BACK, "new", "old").code == 0
    deployment.roll(BACK, "old")  # rows and events of today's code exist by now
    load.await_more(5)


def _version(deployment: Deployment, name: str) -> str:
    found: str = httpx.get(f"{deployment.services.url(name)}/version").json()["version"]
    return found


def test_a_store_says_how_many_orders_are_in_a_state(deployment: Deployment) -> None:
    """Of PostgreSQL and of Redis; it is what keeps a release from going back."""
    addresses = deployment.services.addresses
    for name, state in (("payment", "Captured"), ("loyalty", "Awarded")):
        asked = {state, "NotOne"}
        counts = asyncio.run(orders_in(name, addresses.store_of(name), asked))
        assert counts.keys() == {state}
        assert counts[state] >= 1


def test_the_code_of_a_release_is_its_own(deployment: Deployment) -> None:
    """Not this checkout's, which has a route that the last release lacks."""
    old = deployment.releases["old"]
    assert not (old / "chassis" / "http" / "version_api.py").exists()
    assert {path.name for path in old.iterdir()} >= {spec.module for spec in BY_NAME.values()}
