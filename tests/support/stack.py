"""A stack of a folder, as `saga up --detach` leaves it running, and what a person does there."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from argparse import ArgumentParser
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx

from chassis import ids
from chassis.kafka import Cluster
from saga_cli.stack import state
from saga_cli.topology import BY_NAME, SERVICES
from shared_events.inventory import StockReserved
from tests.support.documented import ROOT
from tests.support.records import a_record, an_order
from tests.support.saga import Ended, changed, saga, sent_to
from tests.support.waiting import patient, until

CHECKOUT: Final = {
    "lines": [{"sku": "RETRO-CLOCK", "quantity": 1}],
    "payment_token": "tok_visa",
    "country": "DE",
    "postal_code": "10115",
}


WITHIN: Final = re.compile(r"\$\(\S*saga ([^)]*)\)")
TOO_LARGE: Final = b"x" * 2_200_000


@dataclass
class RunningStack:
    """A stack of a folder with a settled order, and a message that payment can't decide on."""

    folder: Path
    outcome: str
    order_id: str = ""
    files: int = 0
    done: dict[tuple[str, ...], Ended] = field(default_factory=dict)

    @property
    def stack(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / state.FILE).read_text())
        return found

    def process(self, name: str) -> state.Running:
        return next(state.Running(**p) for p in self.stack["processes"] if p["name"] == name)

    @cached_property
    def parked(self) -> str:
        """An order with a message that payment can't decide on; made late, as it stays in the log."""
        order_id = ids.new_id()
        good = a_record(StockReserved(order=an_order(order_id)))
        sent_to(Cluster(self.stack["servers"][0]), changed(good, b'{"order": "none"}'))
        until(lambda: saga("dead-letters", "show", "payment", order_id).code == 0)
        return order_id

    def group(self) -> str:
        """The group of failures of that message."""
        assert self.parked
        groups = saga("failures", "list", "--json").json
        return next(str(each["group"]) for each in groups if self.parked in each["examples"])

    def refused(self) -> str:
        """The id of a row of payment's outbox that Kafka never takes, refused by now."""

        key = self._refused_key

        def look() -> str | None:
            listed = saga("outbox", "list", "payment", "--json").json
            return next((row["id"] for row in listed if row["key"] == key), None)

        found: str = until(look, 60)
        return found

    @cached_property
    def _refused_key(self) -> str:
        """The key of that row, which is put there once."""
        server = self.stack["servers"][1].rpartition("/")[0]
        payment = f"{server}/{BY_NAME['payment'].database}"
        asyncio.run(put_too_large(payment, self.order_id))
        return self.order_id

    def file(self) -> str:
        self.files += 1
        return str(self.folder / f"new-{self.files}")

    def database(self) -> str:
        """The URL of a new, empty one."""
        self.files += 1
        admin, name = self.stack["servers"][1], f"new_{self.files}"

        async def make() -> None:
            connection = await asyncpg.connect(admin)
            await connection.execute(f"CREATE DATABASE {name}")
            await connection.close()

        asyncio.run(make())
        return f"{admin.rpartition('/')[0]}/{name}"


async def put_too_large(url: str, key: str) -> None:
    """Two rows into payment's outbox: its topic takes the second."""
    connection = await asyncpg.connect(url)
    query = (
        "INSERT INTO outbox (shard, topic, key, value, headers)"
        " SELECT 0, 'payment.dead-letters', $1, value, '[]' FROM unnest($2::bytea[]) AS value"
    )
    await connection.execute(query, key, [TOO_LARGE, b"small"])
    await connection.close()


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """As a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_")}
    return subprocess.run(
        [sys.executable, "-m", "saga_cli.main", *words],
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        env={**clean, "PYTHONPATH": str(ROOT), **variables},
    )


def requested(shop: RunningStack, line: str) -> httpx.Response:
    """What `curl` would send; well-known ports are those of the stack's own services.

    A command within it, `$(saga token alice)`, is run.
    """
    parser = ArgumentParser()
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data")
    parser.add_argument("-X", "--request", default="")
    parser.add_argument("-s", "-i", "-f", "-N", action="store_true")
    parser.add_argument("url")
    line = WITHIN.sub(lambda found: saga(*shlex.split(found[1])).out.strip(), line)
    given = parser.parse_args(shlex.split(line.split("\n", maxsplit=1)[0])[1:])
    url = re.sub(r"ORDER(_ID)?\b", shop.order_id, given.url)
    for spec in SERVICES:
        url = url.replace(f"http://127.0.0.1:{spec.port}", shop.process(f"{spec.name}-1").address)
    headers = dict(re.split(r": *", header, maxsplit=1) for header in given.header)
    method = given.request or ("POST" if given.data else "GET")
    return httpx.request(method, url, headers=headers, content=given.data, timeout=patient(30))


def followed(folder: Path, words: list[str], word: str) -> Ended:
    """It tells what is there and goes on, until it is interrupted as by Ctrl-C."""
    # A shell's job in the background ignores Ctrl-C, and so would what it starts.
    plain = ["env", "--default-signal=INT"] if sys.platform == "linux" else []
    following = subprocess.Popen(
        [*plain, sys.executable, "-m", "saga_cli.main", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        assert following.stdout is not None
        seen = next((line for line in following.stdout if word in line), "nothing")
        assert following.poll() is None
    finally:
        os.killpg(following.pid, signal.SIGINT)
        following.communicate(timeout=patient(30))
    return Ended(following.returncode, seen, "")
