"""A Redis with the services' users, and without TLS: no wheel has a server with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from saga_cli.stack import ports, servers
from saga_cli.stack.redis_acl import acl_file
from tests.support.waiting import until

PASSWORDS: Final = {name: f"{name}-hidden" for name in ("admin", "loyalty", "inventory")}


@contextmanager
def redis_with_users() -> Iterator[int]:
    """Its port."""
    with servers.private_folder() as folder:
        (folder / "users.acl").write_text(acl_file(PASSWORDS))
        held = ports.hold()
        process = servers.prepare_redis(folder, held.number)
        process.command = [*process.command, "--aclfile", str(folder / "users.acl")]
        process.start()
        try:
            until(lambda: b"Ready to accept" in process.log.read_bytes(), 30, "no Redis")
            yield held.number
        finally:
            process.kill()
            held.release()
