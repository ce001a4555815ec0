"""The sockets of a process's HTTP port: bound first of all, so that a port that is taken ends the start."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from chassis.errors import CannotStartError


@contextmanager
def bound(host: str, port: int) -> Iterator[list[socket.socket]]:
    """One socket for each address of the host, closed at the end; nobody can connect yet.

    Raises CannotStartError where the port is taken or the address is not this machine's.
    """
    with ExitStack() as held, _refused(host, port):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        sockets = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = held.enter_context(socket.socket(family, kind, protocol))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sockets.append(sock)
        yield sockets


def listen(sockets: list[socket.socket], backlog: int) -> int:
    """Take connections from now on; returns the port. Raises CannotStartError.

    Two processes may both have bound a port while nobody listened there; only one of them gets it.
    """
    host, port, *_ = sockets[0].getsockname()
    with _refused(host, port):
        for sock in sockets:
            sock.listen(backlog)
    return int(port)


@contextmanager
def _refused(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotStartError(f"can't listen on {host}:{port}: {error.strerror}") from error
