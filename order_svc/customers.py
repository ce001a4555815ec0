"""Which pseudonym stands for which customer. Kept events have the pseudonym alone (adr/0040)."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import starmap
from typing import Final
from uuid import UUID

from chassis import clock, ids, tracing
from chassis.bus import Committed
from chassis.commands import refuse_card_numbers
from chassis.message import Message
from chassis.pace import Pace
from chassis.postgres import Connection, PostgresStore
from chassis.shared_queries import SharedQueries
from order_svc.messages import IdentifyCustomer
from shared_events.order import CustomerIdentified
from shared_events.pseudonyms import PREFIX, former_customer, is_pseudonym

LOCK: Final = 0x5A70
"""The advisory lock under which pseudonyms are made: a customer has one."""
REMEMBERED_S: Final = 10.0
"""So long a process goes by what it has read: what was erased meanwhile counts no longer than that."""
REMEMBERED_MAX: Final = 100_000
KNOWN: Final = """
SELECT customer_id, max(pseudonym COLLATE "C") FROM customers
WHERE customer_id = ANY($1::text[]) GROUP BY customer_id
"""
FORMER: Final = "SELECT DISTINCT customer_id FROM orders WHERE customer_id = ANY($1::text[])"
INSERT: Final = """
INSERT INTO customers (pseudonym, customer_id) SELECT * FROM unnest($1::text[], $2::text[])
"""
STAND_FOR: Final = "SELECT pseudonym, customer_id FROM customers WHERE pseudonym = ANY($1::text[])"


@dataclass
class Pseudonyms:
    """Those who ask for new pseudonyms at the same time share a transaction; `committed` is called then.

    `pace` spaces these transactions out.
    """

    store: PostgresStore
    committed: Callable[[Committed], None]
    pace: Pace = field(default_factory=Pace)
    _pseudonyms: dict[str, str] = field(default_factory=dict)
    _customers: dict[str, str] = field(default_factory=dict)
    _forgets_at: float = 0.0

    def __post_init__(self) -> None:
        self._identified = SharedQueries(self._identify, self.pace)

    async def pseudonym_of(self, customer_id: str) -> str:
        """It is made for a customer who has none.

        Raises CardNumberError, and TransientError when the database is away.
        """
        self._forget()
        if (known := self._pseudonyms.get(customer_id)) is not None:
            return known
        refuse_card_numbers({"customer_id": customer_id})
        pseudonym = await self._identified(customer_id)
        self._pseudonyms[customer_id] = pseudonym
        self._customers[pseudonym] = customer_id
        return pseudonym

    async def known(self, customer_id: str) -> str:
        """What orders of a customer say; a text that none says, where nothing is known of the customer.

        Raises TransientError when the database is away.
        """
        async with self.store.reading() as connection:
            known = await self._known(connection, [customer_id])
        return known.get(customer_id) or former_customer(customer_id)

    async def customers_of(self, pseudonyms: Iterable[str]) -> Mapping[str, str]:
        """The customers whom pseudonyms stand for; "" once that is erased.

        An order of release 0.2 or before names its customer itself. Raises TransientError when the
        database is away.
        """
        self._forget()
        wanted = {name for name in pseudonyms if is_pseudonym(name)}
        if missing := wanted - self._customers.keys():
            async with self.store.reading() as connection:
                self._customers |= dict(await connection.fetch(STAND_FOR, sorted(missing)))
        return {
            name: self._customers.get(name, "") if is_pseudonym(name) else name
            for name in pseudonyms
        }

    async def customer_of(self, pseudonym: str) -> str:
        return (await self.customers_of([pseudonym]))[pseudonym]

    def _forget(self) -> None:
        now = clock.monotonic()
        if now >= self._forgets_at or len(self._customers) > REMEMBERED_MAX:
            self._pseudonyms, self._customers = {}, {}
            self._forgets_at = now + REMEMBERED_S

    async def _identify(self, names: set[str]) -> dict[str, str]:
        async with self.store.reading() as connection:
            known = await self._known(connection, names)
        if not (missing := names - known.keys()):
            return known
        async with self.store.translated(), self.store.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            known |= await self._known(connection, missing)
            made = await self._made(connection, sorted(missing - known.keys()))
            result = await self.store.publish(connection, starmap(_announced, made.items()))
        self.committed(Committed((), result))
        return known | made

    async def _known(self, connection: Connection, names: Collection[str]) -> dict[str, str]:
        return dict(await connection.fetch(KNOWN, list(names)))

    async def _made(self, connection: Connection, names: list[str]) -> dict[str, str]:
        """A customer whom events name already keeps that name: points and standing belong to it."""
        former = {row[0] for row in await connection.fetch(FORMER, names)}
        made = {name: name if name in former else f"{PREFIX}{ids.new_id()}" for name in names}
        await connection.execute(INSERT, [*made.values()], [*made])
        return made


def _announced(customer_id: str, pseudonym: str) -> tuple[Message, CustomerIdentified]:
    message = Message(
        id=UUID(ids.new_id()),
        key=pseudonym,
        body=IdentifyCustomer(pseudonym=pseudonym),
        at=clock.now(),
        traceparent=tracing.carried(None, ""),
    )
    return message, CustomerIdentified(pseudonym=pseudonym, customer_id=customer_id)
