"""The stories that are told in every interleaving: `python -m tests.choreography.exhaustive --help`."""

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Final

from tests.choreography.checker import Chances, Found, explored
from tests.choreography.world import TopicOf, World, WorldOutcome, a_world, alone, former, lane

TWICE: Final[Chances] = ("repeat", "repeat")
CANCEL: Final[Chances] = ("cancel", *TWICE)
CRASH: Final[Chances] = ("crash", *TWICE)
BOTH: Final[Chances] = ("cancel", "crash", *TWICE)
ALL: Final[Chances] = ("cancel", "crash", "deadline", "dispatch", *TWICE)
UNDONE: Final = ("Cancelled",)
DONE: Final = ("Confirmed",)


@dataclass(frozen=True, slots=True)
class Story:
    """How it may end is known beforehand: the last states of its orders, by name."""

    start: Callable[..., World]
    chances: tuple[Chances, ...]
    ends: frozenset[tuple[str, ...]]
    stock: int = 10
    outcome: WorldOutcome = "success"


def one(start: Callable[..., World], outcome: WorldOutcome = "success", stock: int = 10) -> Story:
    return Story(start, (ALL,), frozenset({UNDONE}), stock, outcome)


def several(stock: int, *chances: Chances) -> Story:
    """As many orders as have chances, of two pieces each; as many may be confirmed as there is stock."""
    count = len(chances)
    ends = (UNDONE * (count - n) + DONE * n for n in range(min(count, stock // 2) + 1))
    return Story(partial(a_world, stock=stock), chances, frozenset(ends), stock)


STORIES: Final = MappingProxyType(
    {
        "all ok": Story(a_world, (ALL,), frozenset({UNDONE, DONE})),
        "card declined": one(a_world, "decline"),
        "carrier refuses": one(a_world, "carrier refuses"),
        "undeliverable": one(partial(a_world, country="AQ")),
        "suspended": one(partial(a_world, suspended=True)),
        "out of stock": one(partial(a_world, stock=1), stock=1),
        "stock for one of two": several(2, BOTH, TWICE),
        "stock for one of two, the other's crash": several(2, CANCEL, CRASH),
        "stock for two": several(4, CANCEL, TWICE),
    }
)
LARGE: Final = MappingProxyType(
    {
        "stock for two, a crash": several(4, BOTH, TWICE),
        "stock for two, the other's crash": several(4, CANCEL, CRASH),
        "stock for one of two, all chances against none": several(2, ALL, ()),
        "stock for two, all chances against none": several(4, ALL, ()),
        "stock for one of two, everything twice": several(2, BOTH, BOTH),
        "stock for one of two, two deadlines": several(
            2, (*CANCEL, "deadline"), (*TWICE, "deadline")
        ),
        "stock for one of three": several(2, CANCEL, (), ()),
    }
)


TOPICS: Final = MappingProxyType({"alone": alone, "lanes": lane, "former": former})
"""Ways to lay events out in topics. What can happen in any of them can happen in the first."""


@cache
def result(name: str, topic_of: TopicOf = alone) -> Found:
    story = (STORIES | LARGE)[name]
    return explored(story.start(topic_of=topic_of), story.chances, story.outcome, story.stock)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--scope", choices=("default", "large"), default="default")
    parser.add_argument("--topics", choices=tuple(TOPICS), default="alone")
    given = parser.parse_args()
    is_large, topic_of = given.scope == "large", TOPICS[given.topics]
    print(f"{'states':>9} {'steps':>10} {'tried':>9} {'ends':>6} {'cpu s':>6}  story")
    broken: set[str] = set()
    for name, story in (STORIES | LARGE if is_large else STORIES).items():
        found = result(name, topic_of)
        ends = found.ends.total()
        figures = f"{found.states:>9} {found.steps:>10} {found.tried:>9} {ends:>6}"
        print(f"{figures} {found.seconds:>6.1f}  {name}", flush=True)
        if set(found.ends) != story.ends:
            broken.add(f"G1 {name} ends as {set(found.ends)}")
        broken |= found.broken
    if broken:
        raise SystemExit("\n".join(sorted(broken)))


if __name__ == "__main__":
    main()
