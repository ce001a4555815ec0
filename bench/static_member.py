"""A service whose consumer is a static member of its group, to be compared with those that are not.

`python -m bench.static_member`; BENCH_STATIC has the service's module, the member's name, and after how
many seconds the group takes it for dead. The product has no such setting (adr/0048).
"""

import os
from importlib import import_module
from typing import Any, Final

import aiokafka

VARIABLE: Final = "BENCH_STATIC"


def main() -> None:
    module, member, session_s = os.environ[VARIABLE].split()
    usual = aiokafka.AIOKafkaConsumer

    def static(**options: Any) -> Any:
        more = {"group_instance_id": member, "session_timeout_ms": int(session_s) * 1000}
        return usual(**{**options, **more})

    aiokafka.AIOKafkaConsumer = static  # before the service's modules take it from there
    import_module(f"{module}.__main__").main()


if __name__ == "__main__":
    main()
