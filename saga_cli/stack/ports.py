"""Loopback ports that stay ours, also while the server that listens there is down."""

import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Port:
    number: int
    _held: ExitStack

    def release(self) -> None:
        self._held.close()


def hold(wanted: int = 0) -> Port:
    """The wanted port if it is free, else any free one.

    On Linux a bound socket that does not listen keeps it: the system gives the port to nobody by
    chance, not even to an outgoing connection (a client that tries a dead port for long enough
    meets itself there). The server gets it all the same, as both set SO_REUSEADDR. Elsewhere that
    would keep the server out as well, so the port is only looked up.
    """
    for number in (wanted, 0):
        held = ExitStack()
        try:
            if number and sys.platform == "linux":
                # Two stacks that start at once can both bind it until one listens: this they can't.
                name = held.enter_context(socket.socket(socket.AF_UNIX))
                name.bind(f"\0choreographed-checkout-port-{number}")
            bound = held.enter_context(socket.socket())
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(("127.0.0.1", number))
        except OSError:
            held.close()
            continue
        port = Port(int(bound.getsockname()[1]), held)
        if sys.platform != "linux":
            port.release()
        return port
    raise OSError("no free port")
