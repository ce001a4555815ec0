"""What bugs can be put in place in: every function of a module that is loaded before this one."""

import gc
from collections import defaultdict
from types import FunctionType
from typing import Final

FUNCTIONS: Final[dict[str, list[FunctionType]]] = defaultdict(list)
"""By file. They are looked for once, before a process that has loaded them forks."""

for each in gc.get_objects():
    if isinstance(each, FunctionType):
        FUNCTIONS[each.__code__.co_filename].append(each)
