"""One POST over a connection of its own: a client that costs little and hides no trouble."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

NOTHING: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class PostAnswer:
    status: int
    body: bytes

    @property
    def order_id(self) -> str:
        return str(json.loads(self.body)["order_id"])


async def post(url: str, body: Any = None, headers: Mapping[str, str] = NOTHING) -> PostAnswer:
    """Raises OSError or EOFError where no whole answer comes."""
    place = urlsplit(url)
    content = json.dumps(body).encode() if body is not None else b""
    lines = {
        "Host": place.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Connection": "close",
        **headers,
    }
    head = f"POST {place.path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(f"{head}\r\n".encode() + content)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(answer.split("content-length:")[1].split("\r\n")[0])
        return PostAnswer(int(answer.split()[1]), await reader.readexactly(length))
    finally:
        writer.close()
