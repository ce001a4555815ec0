"""A command that goes on until it is asked to end, and then ends well."""

import asyncio
import signal


def asked_to_stop() -> asyncio.Event:
    """Set by SIGTERM or Ctrl-C while the loop runs."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping
