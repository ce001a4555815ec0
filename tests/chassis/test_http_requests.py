"""What is no request, or could be taken for two, is refused with a problem, and its connection closed."""

from typing import Final

import pytest

from tests.chassis.wire import GET, serving

GOOD: Final = b"GET /headers HTTP/1.1\r\nHost: order\r\n"
POST: Final = b"POST /names HTTP/1.1\r\nHost: order\r\nContent-Type: application/json\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
BODY: Final = b'{"name": "ann"}'
REFUSED: Final = {
    "nothing like HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no method that is known": b"FETCH / HTTP/1.1\r\nHost: order\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nHost: order\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: order\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: order\r\n\r\n",
    "bytes that are not ASCII in the target": b"GET /\xff HTTP/1.1\r\nHost: order\r\n\r\n",
    "a target without a path": b"GET http://order HTTP/1.1\r\nHost: order\r\n\r\n",
    "CONNECT": b"CONNECT order:443 HTTP/1.1\r\nHost: order\r\n\r\n",
    "lines that end with LF": b"GET / HTTP/1.1\nHost: order\n\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": GOOD + b"Host: order\r\n\r\n",
    "a Host that is no name": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a Host with a path": b"GET / HTTP/1.1\r\nHost: order/x\r\n\r\n",
    "NUL in a value": GOOD + b"A: b\0c\r\n\r\n",
    "CR in a value": GOOD + b"A: b\rc\r\n\r\n",
    "a value over two lines": GOOD + b"A: b\r\n c\r\n\r\n",
    "a space before the colon": GOOD + b"A : b\r\n\r\n",
    "no name": GOOD + b": b\r\n\r\n",
    "two framings": POST + b"Content-Length: 3\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "two framings, the other way round": POST + CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 15\r\nContent-Length: 16\r\n\r\n" + BODY,
    "two lengths in one": POST + b"Content-Length: 15, 15\r\n\r\n" + BODY,
    "a length below zero": POST + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +15\r\n\r\n" + BODY,
    "a length beyond 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /names HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "a coding after the chunks": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a chunk below zero": POST + CHUNKED + b"\r\n-1\r\na\r\n0\r\n\r\n",
    "a chunk beyond 64 bits": POST + CHUNKED + b"\r\nFFFFFFFFFFFFFFFFF\r\na\r\n0\r\n\r\n",
}
CODINGS: Final = (b"gzip, chunked", b"x", b"identity")


async def test_what_is_no_request_is_400() -> None:
    async with serving() as server:
        answers = {name: await server.ask(raw) for name, raw in REFUSED.items()}
    found = {name: (answer.status, answer.code) for name, answer in answers.items()}
    assert found == dict.fromkeys(REFUSED, (400, "malformed_request"))


async def test_another_transfer_coding_is_501() -> None:
    async with serving() as server:
        for coding in CODINGS:
            raw = POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
            answer = await server.ask(raw)
            assert (answer.status, answer.code) == (501, "coding_unsupported"), coding


async def test_http_1_0_needs_no_host_and_is_answered_and_closed() -> None:
    async with serving() as server:
        assert (await server.ask(b"GET /health/live HTTP/1.0\r\n\r\n")).status == 200


async def test_trailers_do_not_become_headers() -> None:
    async with serving() as server:
        wire = await server.connect()
        trailers = b"0\r\nAuthorization: Bearer x\r\nX-Late: 1\r\n\r\n"
        json = b"Content-Type: application/json\r\n"
        await wire.send(GOOD + json + CHUNKED + b"\r\n3\r\nabc\r\n" + trailers)
        answer = await wire.answer()
        assert answer.status == 200
        assert b'"length":3' in answer.body
        assert b"authorization" not in answer.body
        assert b"x-late" not in answer.body


@pytest.mark.parametrize("body", [b"", BODY])
async def test_an_upgrade_is_ignored_and_its_body_is_no_other_request(body: bytes) -> None:
    """As clients offer HTTP/2; the parser alone takes what follows for the other protocol."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"
    async with serving() as server:
        wire = await server.connect()
        first = POST + upgrade + b"Content-Length: %d\r\n\r\n" % len(body) + body
        outcome = (200, "") if body else (422, "invalid_request")
        for _ in range(2):
            await wire.send(first + GET)
            assert (await wire.answer()).outcome == outcome
            assert (await wire.answer()).status == 200
        await wire.send(first[:-5])
        await wire.send(first[-5:])
        assert (await wire.answer()).outcome == outcome


async def test_an_upgrade_with_chunks_is_501() -> None:
    async with serving() as server:
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        answer = await server.ask(POST + upgrade + CHUNKED + b"\r\n0\r\n\r\n")
        assert (answer.status, answer.code) == (501, "upgrade_unsupported")


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    expect = b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    async with serving() as server:
        wire = await server.connect()
        await wire.send(POST + expect)
        assert (await wire.answer()).status == 100
        await wire.send(BODY)
        assert (await wire.answer()).status == 200
        assert await wire.closed() == b""
        refused = await server.connect()
        await refused.send(POST.replace(b"/names", b"/nothing") + expect)
        answer = await refused.answer()
        assert (answer.status, answer.code) == (404, "not_found")
        assert await refused.closed() == b""


async def test_a_bug_is_a_problem_and_the_connection_goes_on() -> None:
    async with serving() as server:
        wire = await server.connect()
        await wire.send(POST.replace(b"/names", b"/broken") + b"Content-Length: 0\r\n\r\n")
        answer = await wire.answer()
        assert (answer.status, answer.code) == (500, "internal_error")
