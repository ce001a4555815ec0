"""Processes that die at a place of their program, while orders flow."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from saga_cli.stack.services import Instance
from tests.support.shop import place_many
from tests.support.waiting import until_async

PLACE: Final = "CHASSIS_CRASH_AT"


async def until_each_died(fragile: Iterable[Instance], url: str, at_once: int) -> list[str]:
    """Place orders at `url` until each process has died at its place; returns the orders' ids.

    Those of a service start again, to live, when all of them have died: the last one had to do it all.
    """
    waiting = defaultdict[str, list[Instance]](list)
    for instance in fragile:
        waiting[instance.spec.name].append(instance)
    acknowledged: list[str] = []
    placing = asyncio.create_task(place_many([url], 100, at_once))

    def have_all_died() -> bool:
        nonlocal acknowledged, placing
        for name, own in list(waiting.items()):
            if not any(instance.process.is_alive() for instance in own):
                _start_again(waiting.pop(name))
        if placing.done():
            acknowledged += placing.result()
            placing = asyncio.create_task(place_many([url], 20, at_once))
        return not waiting

    await until_async(have_all_died, 120, "the death of each at its place")
    return acknowledged + await placing


def _start_again(dead: Iterable[Instance]) -> None:
    for process in [instance.process for instance in dead]:
        assert process.exit_code() == -9, "it did not die at the place"
        process.env = {name: value for name, value in process.env.items() if name != PLACE}
        process.start()
