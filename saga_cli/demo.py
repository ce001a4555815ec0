"""The main job, shown: real checkouts over HTTP, each saga's timeline, then the books compared."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

import httpx

from guarantees.counts import counted
from guarantees.judge import JudgeReport
from saga_cli.clients import database
from saga_cli.connections import ConnectionPool, Response
from saga_cli.history.showing import story, table
from saga_cli.log.reader import read
from saga_cli.stack.issuer import bearer
from saga_cli.stack.seed import SUSPENDED_CUSTOMER
from saga_cli.stack.services import Services
from saga_cli.targets import Targets
from saga_cli.terminal import console
from saga_cli.verify.reconcile import settled
from saga_cli.verify.running import verify_all

MIXED: Final = 200
BURST: Final = 1000
SETTLE_S: Final = 30
AGAIN_S: Final = 1.0
"""Seconds after which a client that was refused for overload asks again."""
MEASURED: Final = """
WITH walks AS (
    SELECT min(at) AS begun, max(at) AS ended FROM timeline
    WHERE order_id = ANY($1) GROUP BY order_id
)
SELECT (SELECT count(*) FROM orders WHERE order_id = ANY($1) AND status = 'Confirmed'),
    extract(epoch FROM max(ended) - min(begun)),
    1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended - begun))
FROM walks
"""
"""By the order service's own timeline: confirmed orders, seconds of all, the median in ms."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One checkout and how it must end. `then` is what happens to it after that."""

    title: str
    state: str
    reason: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    then: Literal["", "cancel at once", "cancel", "dispatch and cancel"] = ""


SCENES: Final = (
    Scene("everything works", "CONFIRMED"),
    Scene(
        "out of stock",
        "CANCELLED",
        "out_of_stock",
        {"lines": [{"sku": "RETRO-CLOCK", "quantity": 1}, {"sku": "SOLD-OUT", "quantity": 1}]},
    ),
    Scene("card declined", "CANCELLED", "card_declined", {"payment_token": "tok_declined"}),
    Scene("undeliverable country", "CANCELLED", "undeliverable_country", {"country": "AQ"}),
    Scene(
        "suspended customer", "CANCELLED", "customer_suspended", {"customer_id": SUSPENDED_CUSTOMER}
    ),
    Scene("cancelled before it is confirmed", "CANCELLED", "customer", then="cancel at once"),
    Scene("cancelled after it was confirmed", "CANCELLED", "customer", then="cancel"),
    Scene("cancelled after it was dispatched: refused", "CONFIRMED", then="dispatch and cancel"),
)
KINDS: Final = [scene.changes for scene in SCENES[:5]]


def a_checkout(**changes: Any) -> dict[str, Any]:
    return {
        "customer_id": "alice",
        "lines": [{"sku": "RETRO-CLOCK", "quantity": 1}, {"sku": "BLUE-VASE", "quantity": 2}],
        "currency": "EUR",
        "payment_token": "tok_visa",
        "country": "DE",
        "postal_code": "10115",
        **changes,
    }


@dataclass
class Demo:
    services: Services
    failures: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)

    def run(self) -> bool:
        """Show everything; True if all is as it must be."""
        placed = [(scene, self._play(scene)) for scene in SCENES]
        logged = asyncio.run(read(self.services.addresses.kafka))
        for scene, order in placed:
            console.print(f"\n[bold]{scene.title} - order {order['order_id']}[/]")
            console.print(table(story(logged, order["order_id"])))
        self._repeat()
        asyncio.run(self._mixed())
        url = self.services.url("order")
        placed_at_once = asyncio.run(place(url, a_checkout(), BURST, connections=100))
        self.acknowledged += placed_at_once
        report = asyncio.run(settled(self.services.addresses, self.acknowledged, SETTLE_S))
        asyncio.run(self._measure(placed_at_once))
        self._rebuild(report)
        self._conclude(report)
        return not self.failures and report.is_clean

    def _play(self, scene: Scene) -> dict[str, Any]:
        patience_s = 0 if scene.then == "cancel at once" else 20
        order = self._checkout(a_checkout(**scene.changes), patience_s)
        order_id = order["order_id"]
        if scene.then == "dispatch and cancel":
            self._post("shipping", f"/shipments/{order_id}/dispatch", until=200)
        if scene.then:
            self._post("order", f"/orders/{order_id}/cancel", until=202)
            order = self._await_settled(order_id)
        console.print(f"  {scene.title}: [bold]{order['state']}[/] {_money(order)}")
        if (order["state"], order["reason"]) != (scene.state, scene.reason):
            self.failures.append(f"{scene.title}: {order['state']} {order['reason']}")
        return order

    def _checkout(
        self, body: dict[str, Any], patience_s: int = 20, key: str = ""
    ) -> dict[str, Any]:
        url = f"{self.services.url('order')}/checkout"
        headers = {"Prefer": f"wait={patience_s}"} if patience_s else {}
        headers |= bearer() | ({"Idempotency-Key": key} if key else {})
        answer = httpx.post(url, json=body, headers=headers, timeout=30)
        answer.raise_for_status()
        order: dict[str, Any] = answer.json()
        self.acknowledged.append(order["order_id"])
        if answer.status_code != httpx.codes.CREATED:
            self.failures.append(f"{order['order_id']} did not settle in 20 s")
        return order

    def _post(self, service: str, path: str, until: int) -> None:
        """Ask until it is possible: a neighbour may still be a few milliseconds behind."""
        url, headers = f"{self.services.url(service)}{path}", bearer()
        answer = _repeated(
            lambda: httpx.post(url, headers=headers, timeout=10),
            lambda a: a.status_code == until,
            10,
        )
        if answer.status_code != until:
            self.failures.append(f"{path}: {answer.status_code} {answer.text}")

    def _await_settled(self, order_id: str) -> dict[str, Any]:
        url, headers = f"{self.services.url('order')}/orders/{order_id}", bearer()

        def is_settled(answer: httpx.Response) -> bool:
            return answer.json()["state"] in {"CONFIRMED", "CANCELLED"}

        ask = partial(httpx.get, url, headers=headers, timeout=10)
        order: dict[str, Any] = _repeated(ask, is_settled, 20).json()
        return order

    def _repeat(self) -> None:
        """The same request twice, with one key: one order."""
        key, body = f"demo-{time.time_ns()}", a_checkout()
        first = self._checkout(body, key=key)
        again = self._checkout(body, key=key)
        same = first["order_id"] == again["order_id"]
        console.print(f"  the same request twice: one order: [bold]{same}[/]")
        if not same:
            self.failures.append("a repeated request made a second order")

    async def _mixed(self) -> None:
        """Many at once, with each kind of failure among them."""
        url = f"{self.services.url('order')}/checkout"
        limits = httpx.Limits(max_connections=50)
        started = time.monotonic()
        async with httpx.AsyncClient(timeout=60, limits=limits, headers=bearer()) as client:
            calls = [
                client.post(
                    url,
                    json=a_checkout(**{"customer_id": f"customer-{n % 17}", **KINDS[n % 5]}),
                    headers={"Idempotency-Key": f"mixed-{started}-{n}", "Prefer": "wait=30"},
                )
                for n in range(MIXED)
            ]
            answers = await asyncio.gather(*calls)
        self.acknowledged += [a.json()["order_id"] for a in answers if a.is_success]
        states = [a.json().get("state", str(a.status_code)) for a in answers]
        counts = {state: states.count(state) for state in sorted(set(states))}
        took = time.monotonic() - started
        console.print(f"  {MIXED} mixed checkouts at once: {counts} in {took:.1f} s")
        if counts != {"CONFIRMED": MIXED // 5, "CANCELLED": MIXED - MIXED // 5}:
            self.failures.append(f"mixed checkouts ended as {counts}")

    async def _measure(self, placed: list[str]) -> None:
        async with database(self.services.addresses.store_of("order")) as connection:
            confirmed, seconds, median_ms = await connection.fetchrow(MEASURED, placed)
        console.print(
            f"  {len(placed)} checkouts over 100 connections: {confirmed} confirmed in "
            f"{seconds:.1f} s, {len(placed) / float(seconds):.0f} orders/s, median {median_ms:.0f} ms"
        )
        if confirmed != BURST:
            self.failures.append(f"{BURST - confirmed} orders of the burst not confirmed")

    def _rebuild(self, report: JudgeReport) -> None:
        """Each service again from Kafka alone, held against its live rows."""
        console.print(
            f"\nReconciled {report.orders} orders and {report.events} events over all databases: "
            f"{report.states}"
        )
        places = Targets(self.services.addresses.kafka, self.services.addresses)
        results = asyncio.run(verify_all(places))
        rows, events = sum(r.rows for r in results), sum(r.events for r in results)
        differences = [d for r in results for d in r.differences]
        outcome = counted(len(differences), "difference") if differences else "all equal"
        console.print(f"Rebuilt from Kafka and compared: {events} events, {rows} rows: {outcome}")
        self.failures += [f"G8 {d.service} {d.key}: {d.what}" for d in differences]

    def _conclude(self, report: JudgeReport) -> None:
        for violation in [*self.failures, *report.violations][:20]:
            console.print(f"  [red]{violation}[/]")
        if report.is_clean and not self.failures:
            held = "G1 settled, G2 all or nothing, G3 reverse order, G4 once, G5 none lost"
            console.print(
                f"[green]All hold: {held}, G6 no oversell, G7 in order, G8 replayable.[/]"
            )


def _repeated(
    ask: Callable[[], httpx.Response], is_done: Callable[[httpx.Response], bool], seconds: float
) -> httpx.Response:
    """The answer that is wanted, or the last one when the time is over."""
    deadline = time.monotonic() + seconds
    while not is_done(answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


def _money(order: dict[str, Any]) -> str:
    """The reason, and what of the money came back."""
    refunded, total = order["refunded_minor"] / 100, order["total_minor"] / 100
    money = f", {refunded:.2f} of {total:.2f} refunded" if refunded else ""
    return f"{order['reason'] or ''}{money}"


async def place(url: str, body: dict[str, Any], count: int, connections: int) -> list[str]:
    """Place the same cart `count` times; returns the ids of the acknowledged orders.

    Raises RuntimeError for any other answer than an order, or that there is too much to do now.
    """
    pool, content = ConnectionPool([url], connections), json.dumps(body).encode()
    head = (
        "POST /checkout HTTP/1.1\r\nHost: order\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nAuthorization: {bearer()['Authorization']}\r\n\r\n"
    )
    request = head.encode() + content
    try:
        return await asyncio.gather(*(_placed(pool, request) for _ in range(count)))
    finally:
        pool.close()


async def _placed(pool: ConnectionPool, request: bytes) -> str:
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    pool.ask(request, answered.set_result)
    answer = await answered
    if answer.status == httpx.codes.TOO_MANY_REQUESTS:
        await asyncio.sleep(AGAIN_S)
        return await _placed(pool, request)
    if answer.status != httpx.codes.CREATED:
        raise RuntimeError(f"checkout failed: {answer.status} {answer.body.decode()}")
    return str(json.loads(answer.body)["order_id"])
