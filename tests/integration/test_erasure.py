"""Synthetic customers with marks: their values are where they may be, and after an erasure nowhere."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from secrets import choice
from string import ascii_lowercase
from typing import Any, Final

import httpx
import psycopg
import pytest
from redis import Redis

from chassis import ids
from saga_cli.demo import a_checkout
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME, SERVICES
from shared_events.catalog import CUSTOMERS, DELIVERY_DETAILS, PAYMENT_DETAILS
from shared_events.pseudonyms import is_pseudonym
from tests.support.callers import headers_of
from tests.support.databases import a_new_database
from tests.support.everywhere import holding
from tests.support.saga import Ended, on_servers
from tests.support.shop import checkout, settled
from tests.support.waiting import until

KEY: Final = {"SAGA_ERASURE_KEY": "a key of a test"}
NAME_PLACES: Final = {
    *(f"topic {topic}" for topic in (CUSTOMERS, DELIVERY_DETAILS, PAYMENT_DETAILS)),
    *("table order.customers", "table order.published", "table order.idempotency_keys"),
    *("table payment.payment_details", "table shipping.delivery_details"),
    *("Redis loyalty:pseudonyms",),
}
DELIVERY_PLACES: Final = {
    *(f"topic {DELIVERY_DETAILS}", "table order.published", "table shipping.delivery_details"),
}
TOKEN_PLACES: Final = {
    *(f"topic {PAYMENT_DETAILS}", "table order.published", "table payment.payment_details"),
}
OLDER: Final = {f"older records of {t}" for t in (CUSTOMERS, DELIVERY_DETAILS, PAYMENT_DETAILS)}
"""All that is left after an erasure: Kafka has not compacted yet."""


def letters(count: int) -> str:
    return "".join(choice(ascii_lowercase) for _ in range(count))


@dataclass(frozen=True)
class Person:
    """Each of whose values holds a mark of its own."""

    customer_id: str = field(default_factory=lambda: f"person-{letters(14)}")
    token: str = field(default_factory=lambda: f"tok_{letters(14)}")
    postal_code: str = field(default_factory=lambda: letters(14))
    delivery: dict[str, str] = field(
        default_factory=lambda: {n: letters(14) for n in ("name", "street", "city", "email")}
    )

    def order(self, services: Services, **changes: Any) -> str:
        body = {name: value for name, value in a_checkout().items() if name != "customer_id"}
        body |= {"payment_token": self.token, "postal_code": self.postal_code}
        headers = headers_of(self.customer_id, ("orders",))
        placed = httpx.post(
            f"{services.url('order')}/checkout",
            json={**body, "delivery": self.delivery, **changes},
            headers={**headers, "Idempotency-Key": ids.new_id()},
            timeout=60,
        )
        assert placed.status_code == 201, placed.text
        order_id: str = placed.json()["order_id"]
        shown = f"{services.url('order')}/orders/{order_id}"
        # Asked as an operator: soon after an erasure it may be nobody's order.
        until(lambda: httpx.get(shown).json()["state"] != "PENDING", 30, shown)
        return order_id

    def cancel(self, services: Services, order_id: str) -> None:
        url = f"{services.url('order')}/orders/{order_id}/cancel"
        asked = httpx.post(url, headers=headers_of(self.customer_id, ("orders",)), timeout=60)
        assert (asked.status_code, asked.json()["customer_id"]) == (202, self.customer_id)

    @property
    def allowed(self) -> dict[str, set[str]]:
        """Where each mark may be."""
        values = (*self.delivery.values(), self.postal_code)
        return {
            self.customer_id: NAME_PLACES,
            self.token: TOKEN_PLACES,
            **dict.fromkeys(values, DELIVERY_PLACES),
        }


def buyer(services: Services) -> tuple[Person, list[str]]:
    """Has an order that was confirmed, one that was declined and one that was cancelled."""
    person = Person()
    good = person.order(services)
    declined = person.order(services, payment_token="tok_declined")
    cancelled = person.order(services)
    person.cancel(services, cancelled)
    orders = [good, declined, cancelled]
    assert settled(services, orders).violations == []
    return person, orders


def erase(services: Services, *words: str) -> Ended:
    return on_servers(services, "erase", *words, "--by", "ada", **KEY)


def projected(services: Services, person: Person) -> bool:
    """Every table and hash has what it gets of the person."""
    found = holding(services, person.allowed)
    return all(found[mark] == places for mark, places in person.allowed.items())


def test_marks_of_a_person_are_where_they_may_be_and_after_an_erasure_nowhere(
    stack: Services,
) -> None:
    person, orders = buyer(stack)
    other, _ = buyer(stack)
    until(lambda: projected(stack, person), 30, "the allowed places, all of them and no others")
    erased = erase(stack, "--customer", person.customer_id)
    assert erased.code == 0, erased
    assert f"{person.customer_id} is erased, with {len(orders)} orders: none left." in erased.out
    left = holding(stack, person.allowed)
    assert {mark: places - OLDER for mark, places in left.items()} == {
        mark: set() for mark in person.allowed
    }
    assert projected(stack, other), "nobody else's is touched"


def test_orders_of_an_erased_customer_are_nobodys_and_add_up_still(
    stack: Services, tmp_path: Path
) -> None:
    person, orders = buyer(stack)
    assert erase(stack, "--customer", person.customer_id).code == 0
    shown = httpx.get(f"{stack.url('order')}/orders/{orders[0]}", timeout=30)
    assert (shown.status_code, shown.json()["state"]) == (200, "CONFIRMED")
    until(
        lambda: httpx.get(shown.url, timeout=30).json()["customer_id"] == "",
        20,
        "what processes remember is forgotten",
    )
    verified = on_servers(stack, "verify", "--json")
    assert (verified.code, verified.json["differences"]) == (0, []), verified
    archived = on_servers(stack, "archive", f"{tmp_path}/archive")
    assert archived.code == 0, archived
    again = on_servers(stack, "verify", "--json", "--archive", f"{tmp_path}/archive")
    assert (again.code, again.json["differences"]) == (0, []), again


@pytest.mark.parametrize("name", [spec.name for spec in SERVICES if spec.has_database])
def test_what_is_rebuilt_after_an_erasure_equals_what_is_live(stack: Services, name: str) -> None:
    person, _ = buyer(stack)
    assert erase(stack, "--customer", person.customer_id).code == 0
    url = a_new_database(stack, name, "erased")
    replayed = on_servers(stack, "replay", name, "--into", url, "--copy")
    assert replayed.code == 0, replayed
    verified = on_servers(stack, "verify", name, **{f"{BY_NAME[name].prefix}_DATABASE_URL": url})
    assert verified.code == 0, verified


def test_a_redis_that_is_rebuilt_after_an_erasure_equals_the_live_one(stack: Services) -> None:
    person, _ = buyer(stack)
    assert erase(stack, "--customer", person.customer_id).code == 0
    url = f"{stack.addresses.redis_url}/9"
    replayed = on_servers(stack, "replay", "loyalty", "--into", url, "--copy")
    assert replayed.code == 0, replayed
    verified = on_servers(stack, "verify", "loyalty", LOYALTY_REDIS_URL=url)
    with Redis.from_url(url) as redis:
        redis.flushdb()
    assert verified.code == 0, verified


def test_an_erasure_may_be_repeated_and_leaves_one_signed_record(stack: Services) -> None:
    person, orders = buyer(stack)
    for _ in range(2):
        repeated = erase(stack, "--customer", person.customer_id)
        assert repeated.code == 0, repeated
    listed = on_servers(stack, "erasures", "--json", **KEY)
    found = [record for record in listed.json if set(record["orders"]) == set(orders)]
    assert [(record["by"], record["genuine"]) for record in found] == [("ada", True)]
    assert person.customer_id not in listed.out
    other_key = on_servers(stack, "erasures", SAGA_ERASURE_KEY="another")
    assert (other_key.code, "WRONG" in other_key.out) == (1, True)


def test_a_record_that_somebody_changed_is_found(stack: Services) -> None:
    order_id = checkout(stack, delivery=Person().delivery).json()["order_id"]
    assert settled(stack, [order_id]).violations == []
    assert erase(stack, order_id).code == 0
    assert on_servers(stack, "erasures", **KEY).code == 0
    set_by = "UPDATE erasures SET by = %s WHERE id = %s"
    with psycopg.connect(stack.addresses.database_url(BY_NAME["order"])) as connection:
        connection.execute(set_by, ("mallory", order_id))
    assert on_servers(stack, "erasures", **KEY).code == 1
    with psycopg.connect(stack.addresses.database_url(BY_NAME["order"])) as connection:
        connection.execute(set_by, ("ada", order_id))
    assert on_servers(stack, "erasures", **KEY).code == 0


def test_a_customer_who_comes_back_is_another_one_for_events(stack: Services) -> None:
    person, orders = buyer(stack)
    assert erase(stack, "--customer", person.customer_id).code == 0
    owners = stack.addresses.database_url(BY_NAME["order"])

    def pseudonym_of(order_id: str) -> str:
        with psycopg.connect(owners) as connection:
            query = "SELECT customer_id FROM orders WHERE order_id = %s"
            return str(connection.execute(query, (order_id,)).fetchone()[0])  # type: ignore[index]

    until(lambda: pseudonym_of(person.order(stack)) != pseudonym_of(orders[0]), 30, "another")


def test_a_customer_from_before_keeps_the_id_and_an_erasure_says_what_it_cannot_reach(
    stack: Services,
) -> None:
    """Events of release 0.2 name the customer: points and standing belong to that name."""
    name, order_id = f"old-{letters(14)}", ids.new_id()
    settled(stack, [checkout(stack).json()["order_id"]])
    copied = """
    INSERT INTO orders (order_id, version, status, detail, customer_id)
    SELECT %s, version, status, detail, %s FROM orders WHERE status = 'Confirmed' LIMIT 1
    """
    with psycopg.connect(stack.addresses.database_url(BY_NAME["order"])) as connection:
        connection.execute(copied, (order_id, name))
    try:
        known = httpx.put(f"{stack.url('order')}/customers/{name}").json()
        erased = erase(stack, "--customer", name)
        listed = on_servers(stack, "erasures", "--json", **KEY)
    finally:
        with psycopg.connect(stack.addresses.database_url(BY_NAME["order"])) as connection:
            connection.execute("DELETE FROM orders WHERE order_id = %s", (order_id,))
    assert known["pseudonym"] == name
    assert (erased.code, "are kept: they can't be erased" in " ".join(erased.out.split())) == (
        0,
        True,
    )
    assert [r["pseudonym"] for r in listed.json if r["orders"] == [order_id]] == [""]


def test_first_orders_at_once_in_two_processes_have_one_pseudonym(stack: Services) -> None:
    person = Person()
    urls = [instance.url for instance in stack.of("order")] * 10
    with ThreadPoolExecutor(len(urls)) as pool:
        asked = [pool.submit(httpx.put, f"{u}/customers/{person.customer_id}") for u in urls]
        pseudonyms = {future.result().json()["pseudonym"] for future in asked}
    assert len(pseudonyms) == 1
    with psycopg.connect(stack.addresses.database_url(BY_NAME["order"])) as connection:
        query = "SELECT pseudonym FROM customers WHERE customer_id = %s"
        rows = connection.execute(query, (person.customer_id,)).fetchall()
    assert {row[0] for row in rows} == pseudonyms
    assert all(map(is_pseudonym, pseudonyms))


def test_orders_that_are_open_are_not_erased(stack: Services) -> None:
    refused = on_servers(stack, "erase", **KEY)
    assert refused.code == 2
    person = Person()
    with psycopg.connect(stack.addresses.database_url(BY_NAME["order"])) as connection:
        order_id = person.order(stack)
        connection.execute("UPDATE orders SET status = 'Pending' WHERE order_id = %s", (order_id,))
        connection.commit()
        for words in (("--customer", person.customer_id), (order_id,)):
            refused = erase(stack, *words)
            assert (refused.code, "not settled" in refused.err) == (1, True), refused
        connection.execute(
            "UPDATE orders SET status = 'Confirmed' WHERE order_id = %s", (order_id,)
        )
        connection.commit()
    assert erase(stack, order_id).code == 0


@pytest.mark.parametrize("words", [("nobody's",), ("--customer", "nobody-at-all")])
def test_of_whom_nothing_is_known_nothing_is_left(stack: Services, words: tuple[str, ...]) -> None:
    erased = erase(stack, *words)
    assert erased.code == (0 if "--customer" in words else 1)
    assert json.dumps(erased.out)
