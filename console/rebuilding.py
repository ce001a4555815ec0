"""The console's database from the log: what is there is forgotten, and read anew."""

from chassis.postgres import PostgresDatabase
from console.store import empty


async def rebuild(owner: PostgresDatabase) -> None:
    """As the role that owns the tables. Who reads the log begins anew at its start, now or when it starts.

    What people did stays, as it is in no log. Raises what asyncpg does.
    """
    connection = await owner.connect(command_timeout=60)
    try:
        await empty(connection)
    finally:
        await connection.close(timeout=5)
