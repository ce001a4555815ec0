"""A Redis with the services' users, and without TLS: no wheel has a server with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from saga_cli.stack import ports, servers
from saga_cli.stack.processes import ChildProcess
from saga_cli.stack.redis_acl import acl_file
from tests.support.waiting import until

PASSWORDS: Final = {name: f"{name}-hidden" for name in ("admin", "loyalty", "inventory")}


@contextmanager
def redis_with_users() -> Iterator[int]:
    """Its port."""
    with servers.private_folder() as folder, held_port() as port:
        (folder / "users.acl").write_text(acl_file(PASSWORDS))
        process = servers.prepare_redis(folder, port)
        process.command = [*process.command, "--aclfile", str(folder / "users.acl")]
        with running(process, b"Ready to accept"):
            yield port


@contextmanager
def held_port() -> Iterator[int]:
    held = ports.hold()
    try:
        yield held.number
    finally:
        held.release()


@contextmanager
def running(process: ChildProcess, ready: bytes) -> Iterator[None]:
    """From when its log has the text `ready`; nothing of it is needed at the end."""
    process.start()
    try:
        until(lambda: ready in process.log.read_bytes(), 30, f"{process.name} that is ready")
        yield
    finally:
        process.kill()
