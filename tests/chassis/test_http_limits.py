"""A connection that says too much, too slowly or nothing at all is closed with an answer, others served."""

import asyncio
import time
from typing import Any, Final

import pytest

from chassis.http.app import BODY_MAX_BYTES
from chassis.http.protocol import LimitedProtocol
from tests.chassis.wire import GET, Wire, serving
from tests.support.waiting import until_async

HEAD: Final = b"GET /health/live HTTP/1.1\r\nHost: order\r\n"
POST: Final = b"POST /names HTTP/1.1\r\nHost: order\r\nContent-Type: application/json\r\n"
SMALL: Final = {"http_request_line_max_bytes": 64, "http_headers_max_bytes": 256}
HOST_BYTES: Final = len(b"Host: order\r\n")


def line_of(length: int) -> bytes:
    return b"GET /any?x=" + b"x" * (length - len(b"GET /any?x= HTTP/1.1")) + b" HTTP/1.1"


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_request_line_of_the_longest_length_passes_and_one_byte_more_is_414(
    *, at_once: bool
) -> None:
    async with serving(**SMALL) as server:
        for length, outcome in ((64, (200, "")), (65, (414, "request_line_too_long"))):
            raw = line_of(length) + b"\r\nHost: order\r\nConnection: close\r\n\r\n"
            parts = [raw] if at_once else [raw[n : n + 1] for n in range(len(raw))]
            assert (await server.ask(*parts)).outcome == outcome


async def test_headers_of_the_longest_length_pass_and_one_byte_more_is_431() -> None:
    close = b"Connection: close\r\n"
    async with serving(**SMALL) as server:
        for more, outcome in ((0, (200, "")), (1, (431, "headers_too_large"))):
            value = b"v" * (256 - HOST_BYTES - len(close) - len(b"A: \r\n") + more)
            answer = await server.ask(HEAD + close + b"A: " + value + b"\r\n\r\n")
            assert answer.outcome == outcome


async def test_so_many_headers_pass_and_one_more_is_431() -> None:
    async with serving(http_headers_max=20) as server:
        for count, outcome in ((18, (200, "")), (19, (431, "headers_too_large"))):
            head = (
                HEAD + b"Connection: close\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(count))
            )
            assert (await server.ask(head + b"\r\n")).outcome == outcome


@pytest.mark.parametrize(
    "endless",
    [b"A: " + b"x" * 65_536, b"x" * 65_536, b"A: b\r\n" * 8_192, b" " * 65_536, b"A:" + b" " * 65_536],
    ids=["a value", "a name", "many", "spaces", "space before a value"],
)  # fmt: skip
async def test_an_endless_header_is_refused_soon_and_another_client_is_served(
    endless: bytes,
) -> None:
    """A hundred megabytes, of which the server parses no more than its limit allows."""
    async with serving() as server:
        wire = await server.connect()
        sending = asyncio.create_task(wire.send(HEAD, *[endless] * 1_600))
        answer = await wire.answer()
        assert answer.outcome in {(400, "malformed_request"), (431, "headers_too_large")}
        assert answer.headers["connection"] == "close"
        assert await server.is_served()
        await wire.gone(sending)


@pytest.mark.parametrize(
    ("begun", "refused"),
    [
        (b"GET /", (414, "request_line_too_long")),
        (HEAD, (431, "headers_too_large")),
        (HEAD + b"A: ", (431, "headers_too_large")),
        (b"\r\n", (431, "headers_too_large")),
    ],
)
async def test_what_is_parsed_of_a_head_is_bounded(
    begun: bytes, refused: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed, feed = [], LimitedProtocol.feed

    def counted(protocol: LimitedProtocol, piece: bytes) -> None:
        parsed.append(len(piece))
        feed(protocol, piece)

    monkeypatch.setattr(LimitedProtocol, "feed", counted)
    async with serving() as server:
        wire = await server.connect()
        await wire.send(begun)
        filler = b"\r\n" if begun == b"\r\n" else b"xx"
        sending = asyncio.create_task(wire.send(*[filler * 500_000] * 8))
        assert (await wire.answer()).outcome == refused
        await wire.gone(sending)
    assert 0 < sum(parsed) <= 64 * 1024


UNFINISHED: Final = (
    (b"",),
    (b"\r\n",),
    (b"G",),
    (HEAD,),
    (POST + b"Content-Length: 9\r\n\r\n",),
    (POST + b"Content-Length: 9\r\n\r\n{",),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",),
    (POST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",),
    (GET + HEAD,),
)


async def test_a_request_that_does_not_come_is_408_and_others_are_served() -> None:
    times = {f"http_{name}_timeout_s": 0.2 for name in ("first_byte", "head", "body")}
    async with serving(**times) as server:
        wires = [await server.connect() for _ in UNFINISHED]
        for wire, parts in zip(wires, UNFINISHED, strict=True):
            await wire.send(*parts)
        for wire in wires:
            answer = await wire.answer()
            while answer.status in {100, 200}:
                answer = await wire.answer()
            assert (answer.status, answer.code) == (408, "request_timeout")
            assert answer.headers["connection"] == "close"
            assert await wire.closed() == b""
        assert await server.is_served()


@pytest.mark.parametrize("begun", [b"", HEAD, POST + b"Content-Length: 60000\r\n\r\n"])
async def test_a_byte_now_and_then_gains_no_time(begun: bytes) -> None:
    times = dict.fromkeys(
        ("http_first_byte_timeout_s", "http_head_timeout_s", "http_body_timeout_s"), 0.3
    )
    async with serving(**times) as server:
        wire = await server.connect()
        await wire.send(begun or b"\r\n")
        answering = asyncio.create_task(wire.answer())
        while not answering.done():
            await wire.send(b"A" if begun else b"\r\n")
            await asyncio.sleep(0.02)
        assert answering.result().outcome == (408, "request_timeout")


async def test_an_idle_connection_is_closed_without_an_answer() -> None:
    async with serving(http_idle_timeout_s=0.2) as server:
        wire = await server.connect()
        assert (await (await wire.send(GET)).answer()).status == 200
        assert await wire.closed() == b""


async def test_time_is_not_counted_while_it_is_our_turn() -> None:
    times = ("first_byte", "head", "body", "idle", "write")
    async with serving(**{f"http_{name}_timeout_s": 0.1 for name in times}) as server:
        wire = await server.connect()
        await wire.send(GET.replace(b"/health/live", b"/slow"))
        await server.busy()
        silent = await server.connect()
        over = await silent.answer()
        assert (over.status, over.code) == (408, "request_timeout")  # of who is to send something
        server.released.set()
        assert (await wire.answer()).status == 200


async def test_an_answer_that_is_not_taken_is_dropped_with_its_connection() -> None:
    async with serving(http_write_timeout_s=0.2) as server:
        wire = await server.connect()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await wire.send(GET.replace(b"/health/live", b"/large") * 4)
        connections = server.server.server_state.connections
        await until_async(lambda: connections, 10, "the connection")
        await until_async(lambda: not connections, 10, "its end")
        assert await server.is_served()


async def test_where_silent_connections_fill_the_table_the_longest_idle_one_makes_room() -> None:
    async with serving(http_connections_max=1_000, http_first_byte_timeout_s=3600) as server:
        silent = await asyncio.gather(*(server.connect() for _ in range(1_000)))
        assert await server.is_served()
        ends = [asyncio.create_task(wire.closed()) for wire in silent]
        ended, others = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        assert {end.result() for end in ended} == {b""}
        assert len(ended) <= 2
        for end in others:
            end.cancel()
        await asyncio.wait(others)


async def test_a_thousand_silent_connections_hold_nobody_up_and_are_closed() -> None:
    async with serving(http_connections_max=1_001, http_first_byte_timeout_s=1) as server:
        silent = await asyncio.gather(*(server.connect() for _ in range(1_000)))
        assert await server.is_served()
        assert {(await wire.closed())[:12] for wire in silent} == {b"HTTP/1.1 408"}


async def test_a_full_table_of_requests_refuses_the_next_and_takes_it_when_one_is_done() -> None:
    slow = GET.replace(b"/health/live", b"/slow")
    async with serving(http_connections_max=2) as server:
        busy = [await server.connect() for _ in range(2)]
        for wire in busy:
            await wire.send(slow)
        await server.busy(2)
        refused = await (await server.connect()).answer()
        assert (refused.status, refused.code) == (503, "too_many_connections")
        assert refused.headers["retry-after"] == "1"
        server.released.set()
        assert [(await wire.answer()).status for wire in busy] == [200, 200]
        assert await server.is_served()


@pytest.mark.parametrize("trusted", ["none", "127.0.0.9/32"])
async def test_one_address_has_its_share_and_leaves_the_rest_to_others(trusted: str) -> None:
    limits: dict[str, Any] = {"http_connections_per_address_max": 3, "http_trusted": trusted}
    async with serving(**limits) as server:
        first = [await server.connect("127.0.0.2") for _ in range(3)]
        assert [(await (await w.send(GET)).answer()).status for w in first] == [200] * 3
        fourth = await (await server.connect("127.0.0.2")).answer()
        assert (fourth.status, fourth.code) == (503, "too_many_connections")
        others = [await server.connect("127.0.0.9") for _ in range(3 + (trusted != "none"))]
        assert [(await (await w.send(GET)).answer()).status for w in others] == [200] * len(others)
        first[0].writer.close()
        await first[0].writer.wait_closed()

        async def is_served_again() -> bool:
            wire = await server.connect("127.0.0.2")
            return (await (await wire.send(GET)).answer()).status == 200

        await until_async(is_served_again, 10, "its share")


@pytest.mark.parametrize(
    ("extra", "refused"),
    [
        (b"A: b\r\n", (431, "headers_too_large")),
        (b"1;" + b"x" * 60_000 + b"\r\n", (413, "body_too_large")),
    ],
)
async def test_what_stands_around_a_body_is_bounded(extra: bytes, refused: tuple[int, str]) -> None:
    """Trailers, and extensions of chunks; a body's own limit is the application's."""
    async with serving() as server:
        wire = await server.connect()
        last = b"0\r\n" if extra.startswith(b"A") else b""
        head = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" + last
        data = b"\r\n" if not last else b""
        parts = [extra + (b"x" + data if data else b"")] * 2_000
        sending = asyncio.create_task(wire.send(head, *parts))
        answer = await wire.answer()
        assert answer.outcome == refused
        await wire.gone(sending)
        assert await server.is_served()


async def test_a_body_that_goes_on_after_its_answer_is_not_read_for_ever() -> None:
    async with serving() as server:
        wire = await server.connect()
        size = 100_000_000
        await wire.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        sending = asyncio.create_task(wire.send(*[b"x" * 100_000] * (size // 100_000)))
        answer = await wire.answer()
        assert (answer.status, answer.code) == (413, "body_too_large")
        began = time.monotonic()
        await sending
        assert await server.is_served()
        assert time.monotonic() - began < 15


async def test_pipelined_requests_are_answered_in_order_and_parsed_one_after_the_other() -> None:
    async with serving() as server:
        wire = await server.connect()
        body = b'{"name": "%d"}'
        many = [POST + b"Content-Length: 15\r\n\r\n" + body % (100 + n) for n in range(300)]
        await wire.send(b"".join(many))
        for number in range(300):
            answer = await wire.answer()
            assert (answer.status, answer.body) == (200, b'{"name":"%d"}' % (100 + number))


async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    async with serving() as server:
        wire = await server.connect()
        await wire.send(GET.replace(b"/health/live", b"/slow") + b"NONSENSE / HTTP/1.1\r\n\r\n")
        await server.busy()
        server.released.set()
        assert (await wire.answer()).status == 200
        refused = await wire.answer()
        assert (refused.status, refused.code) == (400, "malformed_request")
        assert await wire.closed() == b""


async def test_behind_a_slow_answer_little_is_parsed_and_the_rest_waits() -> None:
    async with serving() as server:
        wire = await server.connect()
        slow = GET.replace(b"/health/live", b"/slow")
        await wire.send(slow + GET * 2_000)
        await server.busy()
        (protocol,) = server.server.server_state.connections
        assert len(protocol.pipeline) < 200  # type: ignore[union-attr]
        server.released.set()
        assert [(await wire.answer()).status for _ in range(2_001)] == [200] * 2_001


async def test_a_body_of_the_largest_size_passes() -> None:
    body = b'{"name": "' + b"x" * (BODY_MAX_BYTES - 12) + b'"}'
    async with serving() as server:
        wire: Wire = await server.connect()
        await wire.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (await wire.answer()).status == 200


async def test_every_response_says_what_browsers_may_do_with_it() -> None:
    """Also one that the application never saw."""
    wanted = {
        "cache-control": "no-store",
        "content-security-policy": "frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
    async with serving() as server:
        none = GET.replace(b"/health/live", b"/none")
        for request, code in (
            (GET, ""),
            (none, "not_found"),
            (b"\x00\r\n", "malformed_request"),
        ):
            answer = await (await (await server.connect()).send(request)).answer()
            assert code in str(answer.body)
            assert {name: answer.headers.get(name) for name in wanted} == wanted
