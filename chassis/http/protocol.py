"""What one HTTP connection may cost before the application sees a request.

uvicorn's protocol with limits on bytes, time and number (`HttpLimits`). Whatever goes beyond is answered
with a problem (RFC 9457), and the connection is closed:

- 400 what is no HTTP/1.0 or 1.1 (RFC 9112), or could be framed in two ways;
- 408 the head or body of a request does not come in time;
- 414, 431 a request line or header section that is too long;
- 501 a transfer coding other than chunked;
- 503 too many connections.

A connection that is idle between two requests is closed without an answer, and so is one whose peer does
not take what it asked for.
"""

import asyncio
from enum import Enum, auto
from typing import Any, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from chassis.http.app import BODY_MAX_BYTES
from chassis.http.connections import Connections
from chassis.http.framing import Answering, Refused, framing
from chassis.http.problems import problem

SLICE_BYTES: Final = 4096
"""The parser is given so much at once: the most that is parsed beyond a limit."""
HELD_MAX_BYTES: Final = 512 * 1024
"""What may wait to be parsed behind a request that is being answered."""
BODY_RAW_MAX_BYTES: Final = 16 * BODY_MAX_BYTES
"""A body with its chunk sizes, extensions and trailers; the application counts the body itself."""
LINGER_S: Final = 2.0
LINGER_MAX_BYTES: Final = 1024 * 1024
"""So long and so much is read and dropped after a refusal, or a reset would destroy the answer."""
HEAD_WHILE_STOPPING_S: Final = 1.0


class Phase(Enum):
    """What the connection is waiting for."""

    IDLE = auto()
    """The first byte of a request."""
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    """The application's answer; the request is complete."""
    CLOSING = auto()
    """The peer's end of the connection; whatever it sends is dropped."""


IDLE, HEAD, BODY, ANSWER, CLOSING = Phase  # a look-up in an enumeration costs more than a name


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        table: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.table, self.limits = table, table.limits
        self._count_max = self.limits.http_headers_max
        self._fields_max = self.limits.http_headers_max_bytes
        self._line_max = self.limits.http_request_line_max_bytes
        self._head_max = self._line_max + self._fields_max + SLICE_BYTES
        self.phase = IDLE
        self.address = ""
        self._requests = 0
        self._unanswered = 0  # requests that the application was given, or will be
        self._held = bytearray()  # not parsed yet
        self._raw = 0  # bytes of this head or body
        self._line = self._fields = self._count = 0  # the head, as it is limited
        self._by_hand = 0  # bytes of a body that the parser takes for another protocol
        self._refused: Refused | None = None
        self._timed: tuple[int, Phase] | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # The transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if self.table.admit(self):
            self._wait_for_peer()
        elif self.table.is_flooded:
            transport.abort()
        else:
            self._refuse(Refused(503, "too_many_connections", "too many connections are open"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.table.release(self)
        self.phase, self._deadline = CLOSING, None
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.phase is CLOSING:
            self._raw += len(data)
            if self._raw > LINGER_MAX_BYTES:
                self.flow.pause_reading()
            return
        self.table.busy(self)
        self._held += data
        self._parse()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            seconds = self.limits.http_write_timeout_s
            self._write_timer = self.loop.call_later(seconds, self._on_write_timer)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def evict(self) -> None:
        if self.phase is CLOSING:
            self.transport.abort()
        else:
            self.transport.close()

    def drain(self) -> None:
        """The last request that has arrived is answered with `Connection: close`."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The server stops: a head that has begun may be completed, and is answered."""
        if self.phase is HEAD and not self._unanswered:
            self._expect(HEAD_WHILE_STOPPING_S)
        elif self.phase is CLOSING and not self._unanswered:
            self.transport.close()
        else:
            super().shutdown()

    # The parser

    def _parse(self) -> None:
        """Parse what is held, up to a request that waits for the answer to the one before it."""
        while self._held and not self.pipeline and self.phase is not CLOSING:
            piece = bytes(self._held[:SLICE_BYTES])
            del self._held[:SLICE_BYTES]
            try:
                self.feed(piece)
            except Refused as refused:
                self._refuse(refused)
                return
        if self._held:
            self.flow.pause_reading()
            if len(self._held) > HELD_MAX_BYTES:
                self.transport.abort()
        self._wait_for_peer()

    def feed(self, piece: bytes) -> None:
        self._raw += len(piece)
        while piece:
            if self._by_hand:
                piece = self._body_by_hand(piece)
                continue
            try:
                self.parser.feed_data(piece)
                piece = b""
            except httptools.HttpParserUpgrade as upgrade:  # to nothing that is spoken here
                piece = piece[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                if isinstance(error.__context__, Refused):
                    raise error.__context__ from None
                raise Refused(400, "malformed_request", f"it is not HTTP/1.1: {error}") from None
        self._check_raw()

    def _check_raw(self) -> None:
        """What grows without a callback: a single field, or what stands between chunks."""
        if self.phase is BODY:
            if self._raw > BODY_RAW_MAX_BYTES:
                raise Refused(413, "body_too_large", f"at most {BODY_MAX_BYTES} bytes")
        elif self._raw > self._head_max:
            raise self._too_many_headers()

    def _too_many_headers(self) -> Refused:
        most = f"{self._count_max} headers, {self._fields_max} bytes"
        return Refused(431, "headers_too_large", f"at most {most}")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.phase = HEAD
        self._requests += 1
        self._raw = self._line = self._fields = self._count = 0

    def on_url(self, url: bytes) -> None:
        """A request line is the method, the target, ` HTTP/1.1` and a space between."""
        if not self._line:
            self._line = len(self.parser.get_method()) + len(b"  HTTP/1.1")
        self._line += len(url)
        if self._line > self._line_max:
            raise Refused(414, "request_line_too_long", f"at most {self._line_max} bytes")
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header counts with `: ` and the end of its line. Trailers count, and are dropped."""
        self._count += 1
        self._fields += len(name) + len(value) + 4
        if self._count > self._count_max or self._fields > self._fields_max:
            raise self._too_many_headers()
        if self.phase is HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        length = framing(self.headers, self.parser.get_http_version())
        is_upgrade = self.parser.should_upgrade()
        if is_upgrade and length is None:
            raise Refused(501, "upgrade_unsupported", "Upgrade with a chunked body")
        super().on_headers_complete()
        self.phase = BODY
        self._raw = self._count = self._fields = 0
        self._unanswered += 1
        if self.table.draining or self.expect_100_continue:
            # Whether a body follows a final answer is the peer's to choose: it can't be framed.
            self.cycle.keep_alive = False
        self._by_hand = (length or 0) if is_upgrade else 0

    def on_message_complete(self) -> None:
        if self._by_hand:
            return
        self._raw = 0
        self.phase = IDLE if self.cycle.response_complete else ANSWER
        super().on_message_complete()

    def _body_by_hand(self, piece: bytes) -> bytes:
        """An Upgrade is ignored, but the parser ends the request with its head; returns what is left."""
        body, rest = piece[: self._by_hand], piece[self._by_hand :]
        self._by_hand -= len(body)
        self.on_body(body)
        if not self._by_hand:
            self.on_message_complete()
        return rest

    # The application

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, cast("Any", Answering(app, cycle)))

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._unanswered -= 1
        if self.transport.is_closing():
            self._linger()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self._refused is not None and not self._unanswered:
            self._say(self._refused)
            return
        if self.phase is ANSWER and not self._unanswered:
            self.phase = IDLE
        self._timed = None
        self._parse()

    # Time

    def _wait_for_peer(self) -> None:
        """Begin to count the time of a phase when it begins."""
        timed = (self._requests, self.phase)
        if timed != self._timed:
            self._timed = timed
            if self.phase is IDLE or self.phase is CLOSING:
                self.table.idle(self)
            self._expect(self._patience())

    def _patience(self) -> float | None:
        """How long the peer may take in this phase, in seconds; None where it is not its turn."""
        limits = self.limits
        if self.pipeline:
            return None
        match self.phase:
            case Phase.IDLE:
                is_new = not self._requests
                return limits.http_first_byte_timeout_s if is_new else limits.http_idle_timeout_s
            case Phase.HEAD:
                return limits.http_head_timeout_s
            case Phase.BODY:
                return limits.http_body_timeout_s
            case Phase.CLOSING:
                return LINGER_S
            case Phase.ANSWER:
                return None

    def _expect(self, seconds: float | None) -> None:
        """A timer that is armed already is left to find out that it has come too early."""
        if seconds is None:
            self._deadline = None
            return
        self._deadline = self.loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= self._deadline:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self.loop.time() < self._deadline:
            self._timer = self.loop.call_at(self._deadline, self._on_timer)
        elif self.phase is CLOSING:
            self.transport.abort()
        elif self.phase is IDLE and self._requests:
            self._linger()
        else:
            what = "body" if self.phase is BODY else "head"
            self._refuse(
                Refused(408, "request_timeout", f"the {what} of the request took too long")
            )

    def _on_write_timer(self) -> None:
        self.table.refused("answer_not_taken")
        self.transport.abort()

    # The end

    def _refuse(self, refused: Refused) -> None:
        """Answer the request that is coming in, after all those before it, and close."""
        self.table.refused(refused.code)
        self._held.clear()
        own = self.cycle if self.phase is BODY else None
        self.phase, self._raw = CLOSING, 0
        if own is not None:
            self._unanswered -= not own.response_complete
            if self.pipeline and self.pipeline[0][0] is own:
                self.pipeline.popleft()
            elif own.response_started:
                self._linger()
                return
            else:
                own.disconnected = True
                own.message_event.set()
        self._refused = refused
        if not self._unanswered:
            self._say(refused)

    def _say(self, refused: Refused) -> None:
        response = problem(refused.status, refused.code, refused.detail)
        headers = [
            *self.server_state.default_headers,
            *response.raw_headers,
            (b"connection", b"close"),
        ]
        lines = (b"%s: %s\r\n" % header for header in headers)
        head = STATUS_LINE[refused.status] + b"".join(lines)
        self.transport.write(head + b"\r\n" + bytes(response.body))
        self._linger()

    def _linger(self) -> None:
        """Close our side; the rest is aborted after a while, whatever the peer does."""
        self.phase, self._raw, self._timed = CLOSING, 0, None
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.flow.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()
        self._wait_for_peer()
