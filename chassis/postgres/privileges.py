"""What a service's role may do in its database at run time: read and write rows, and call its functions.

The tables belong to another role, which makes the migrations.
"""

from typing import Final

from chassis.postgres.types import Connection

ALL: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
LESS: Final = {"alembic_version": ("SELECT",), "operator_actions": ("SELECT", "INSERT")}
"""Tables on which it has not all of these rights: nobody edits what operators did."""
TABLES: Final = """
SELECT c.relname::text, array_agg(has_table_privilege($1, c.oid, wanted.name) ORDER BY nth)
FROM pg_class AS c CROSS JOIN unnest($2::text[]) WITH ORDINALITY AS wanted (name, nth)
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
AND (NOT c.relispartition OR c.relname = 'published_default') AND c.relname <> 'replay_progress'
GROUP BY c.relname
"""
FUNCTIONS: Final = """
SELECT p.oid::regprocedure::text, has_function_privilege($1, p.oid, 'EXECUTE') FROM pg_proc AS p
WHERE p.pronamespace = 'public'::regnamespace
"""


async def lacking(connection: Connection, role: str) -> dict[str, tuple[str, ...]]:
    """Rights that a role does not have, by `TABLE name` or `FUNCTION name`.

    Raises asyncpg.UndefinedObjectError where there is no such role.
    """
    found: dict[str, tuple[str, ...]] = {}
    for table, held in await connection.fetch(TABLES, role, list(ALL)):
        rights = dict(zip(ALL, held, strict=True))
        if missing := tuple(name for name in LESS.get(table, ALL) if not rights[name]):
            found[f"TABLE {table}"] = missing
    for function, is_granted in await connection.fetch(FUNCTIONS, role):
        if not is_granted:
            found[f"FUNCTION {function}"] = ("EXECUTE",)
    return found


async def are_granted(connection: Connection, role: str) -> bool:
    """Has it all that it needs, and has nobody else a function's? Raises as `lacking`."""
    functions = await connection.fetch(FUNCTIONS, "public")
    return not any(row[1] for row in functions) and not await lacking(connection, role)


async def grant(connection: Connection, role: str) -> None:
    """As the owner, in a transaction: a role has these rights from then on, and others no function's."""
    for function, is_anybodys in await connection.fetch(FUNCTIONS, "public"):
        if is_anybodys:
            await connection.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    name = await connection.fetchval("SELECT quote_ident($1)", role)
    for place, rights in (await lacking(connection, role)).items():
        await connection.execute(f"GRANT {', '.join(rights)} ON {place} TO {name}")
