"""Scripts by Lua 5.1, the version in Redis, in a sandbox without time and chance."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lupa import lua51
from redis.exceptions import ResponseError

from simulation.redis_commands import Status
from simulation.redis_data import error, fits

RedisCall = Callable[..., Any]
SHEBANG: Final = re.compile(rb"^#!lua( flags=no-cluster)?(?=\n)")
"""No flags are simulated but one that changes nothing."""
SANDBOX: Final = b"""
local redis = ...
local allowed = {
  redis = redis, string = string, table = table, assert = assert, error = error, ipairs = ipairs,
  next = next, pairs = pairs, select = select, tonumber = tonumber, tostring = tostring,
  type = type, unpack = unpack,
}
setmetatable(allowed, {
  __index = function(_, name) error('Script attempted to access nonexistent global variable ' .. name) end,
  __newindex = function() error('Attempt to modify a readonly table') end,
})
return function(script) return setfenv(script, allowed) end
"""


@dataclass(frozen=True, slots=True)
class LuaScript:
    """What has a shebang is checked before it runs; what has none, call by call."""

    run: Callable[..., Any]
    is_checked_first: bool


class Scripts:
    """Each text is compiled once."""

    def __init__(self, call: RedisCall) -> None:
        self._call = call
        self._lua = lua51.LuaRuntime(encoding=None, register_eval=False, register_builtins=False)
        may = {b"acl_check_cmd": lambda *_command: True}  # every user may do all there
        redis = self._lua.table_from({b"call": self._called, b"pcall": self._tried, **may})
        self._boxed = self._lua.compile(SANDBOX)(redis)
        self._compiled: dict[bytes, LuaScript] = {}

    def script(self, text: bytes) -> LuaScript:
        if (known := self._compiled.get(text)) is None:
            known = self._compiled[text] = self._compile(text)
        return known

    def run(self, script: LuaScript, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        """The script's reply. Raises ResponseError, with what was written before it in place."""
        table = self._lua.table_from
        try:
            return self._replied(script.run(table(keys), table(args)))
        except lua51.LuaError as failed:
            raise error(f"ERR {failed}") from failed

    def _compile(self, text: bytes) -> LuaScript:
        text, is_checked_first = SHEBANG.subn(b"", text)
        try:
            function = self._lua.compile(b"local KEYS, ARGV = ... " + text)
        except lua51.LuaSyntaxError as failed:
            raise error(f"ERR Error compiling script {failed}") from failed
        return LuaScript(self._boxed(function), bool(is_checked_first))

    def _called(self, name: bytes, *args: Any) -> Any:
        texts = [arg if type(arg) is bytes else _number(arg) for arg in args]
        return self._to_lua(self._call(name, *texts))

    def _tried(self, name: bytes, *args: Any) -> Any:
        try:
            return self._called(name, *args)
        except ResponseError as failed:
            return self._lua.table_from({b"err": str(failed).encode()})

    def _to_lua(self, reply: Any) -> Any:
        """A reply as a script sees it."""
        kind = type(reply)
        if kind is bytes or kind is int:
            return reply
        if reply is None:
            return False
        if kind is Status:
            return self._lua.table_from({b"ok": bytes(reply)})
        return self._lua.table_from([self._to_lua(item) for item in reply])

    def _replied(self, value: Any) -> Any:
        """What a script returns, as a client sees it."""
        if value is None or isinstance(value, bytes):
            return value
        if isinstance(value, bool):
            return 1 if value else None
        if isinstance(value, int | float):
            number = int(value)
            return number if fits(number) else -(2**63)  # as the processor's conversion does it
        if (failed := value[b"err"]) is not None:
            raise error(failed.decode())
        if (status := value[b"ok"]) is not None:
            return Status(status)
        found: list[Any] = []
        while (item := value[len(found) + 1]) is not None:
            found.append(self._replied(item))
        return found


def _number(value: Any) -> bytes:
    if type(value) is int or type(value) is float:
        return b"%.17g" % value
    raise error("ERR Lua redis lib command arguments must be strings or integers")
