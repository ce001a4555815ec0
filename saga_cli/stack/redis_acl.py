"""Redis's users, from the services' manifests: one for each that uses it, and the administrator.

`python -m saga_cli.stack.redis_acl` prints them, with passwords from LOYALTY_PASSWORD and its like, or from
the files that LOYALTY_PASSWORD_FILE and its like name.
"""

import sys
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import typer

from chassis.manifest import Manifest
from chassis.redis import rights
from guarantees.services import SERVICES
from saga_cli.targets import secret_in_environment
from saga_cli.terminal import CommandError, OneLineCommand
from saga_cli.topology import ADMIN

USERS: Final[tuple[Manifest, ...]] = tuple(s for s in SERVICES if s.redis_database is not None)
"""Services with a user of their own, named as they are."""


def acl_file(passwords: Mapping[str, str]) -> str:
    """What `aclfile` names: passwords are by user, of each of USERS and of the administrator.

    Passwords are in it as hashes. Who does not log in may do nothing.
    """
    lines = [
        "user default off",
        f"user {ADMIN} on {_hash(passwords[ADMIN])} ~* &* +@all",
    ]
    for spec in USERS:
        rule = rights.rule_of(spec.redis_keys, keeps_state=not spec.has_database)
        lines.append(f"user {spec.name} on {_hash(passwords[spec.name])} {rule}")
    return "\n".join((*lines, ""))


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=OneLineCommand)
def main() -> None:
    """Print the users of Redis as `aclfile` takes them."""
    given = {name: f"{name}_PASSWORD".upper() for name in (ADMIN, *(spec.name for spec in USERS))}
    passwords = {name: secret_in_environment(variable).read() for name, variable in given.items()}
    if missing := [given[name] for name, text in passwords.items() if not text]:
        raise CommandError(f"give {', '.join(missing)}")
    sys.stdout.write(acl_file(passwords))


def _hash(password: str) -> str:
    return f"#{sha256(password.encode()).hexdigest()}"


if __name__ == "__main__":
    app()
