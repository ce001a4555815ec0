"""Processes that die at a place of their program, while orders flow."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from saga_cli.stack.services import Instance
from tests.support.shop import Load
from tests.support.waiting import until_async

PLACE: Final = "CHASSIS_CRASH_AT"


async def until_each_died(
    fragile: Iterable[Instance],
    url: str,
    at_once: int,
    is_enough: Callable[[], bool] = lambda: True,
) -> list[str]:
    """Place orders at `url`, so many at once, until each process has died at its place.

    They go on until `is_enough` says so as well. Returns the orders' ids. Those of a service start
    again, to live, when all of them have died: the last one had to do it all.
    """
    waiting = defaultdict[str, list[Instance]](list)
    for instance in fragile:
        waiting[instance.spec.name].append(instance)

    def is_over() -> bool:
        for name, own in list(waiting.items()):
            if not any(instance.process.is_alive() for instance in own):
                _start_again(waiting.pop(name))
        return not waiting and is_enough()

    with Load(url, at_once=at_once).running() as load:
        await until_async(is_over, 120, "the death of each at its place, and enough orders")
    return load.acknowledged


def _start_again(dead: Iterable[Instance]) -> None:
    for process in [instance.process for instance in dead]:
        assert process.exit_code() == -9, "it did not die at the place"
        process.env = {name: value for name, value in process.env.items() if name != PLACE}
        process.start()
