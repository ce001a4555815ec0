"""An issuer of tokens for client credentials, whose keys a broker knows: `GET` nothing, `POST /token`."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT, CLIENT_SECRET = "order", "a client's secret: 1/2"
AUDIENCE: Final = "kafka"


class Issuer:
    """`lasting_s` and `signs_well` are of the tokens to come; `issued` counts those that were."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.lasting_s = 3600
        self.signs_well = True
        self.issued = 0
        self.url = ""

    def write_keys(self, file: Path) -> None:
        """A set of JSON web keys."""
        numbers = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256"}
        key |= {"n": _text(_bytes(numbers.n)), "e": _text(_bytes(numbers.e))}
        file.write_text(json.dumps({"keys": [key]}))

    def answer(self, authorization: str, asked: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        expected = base64.b64encode(b"order:a+client%27s+secret%3A+1%2F2").decode()
        if authorization != f"Basic {expected}":
            return 401, {"error": "invalid_client"}
        if asked.get("scope", ["kafka"]) != ["kafka"]:
            return 400, {"error": "invalid_scope"}
        self.issued += 1
        return 200, {"access_token": self._token(), "expires_in": self.lasting_s}

    def _token(self) -> str:
        now = int(time.time())
        claims = {"sub": CLIENT, "aud": AUDIENCE, "iat": now, "exp": now + self.lasting_s}
        header = {"alg": "RS256", "kid": "1", "typ": "JWT"}
        text = ".".join(_text(json.dumps(part).encode()) for part in (header, claims))
        signed = self.key.sign(
            text.encode() if self.signs_well else b"", padding.PKCS1v15(), hashes.SHA256()
        )
        return f"{text}.{_text(signed)}"


@contextmanager
def issuing() -> Iterator[Issuer]:
    issuer = Issuer()

    class TokenRequests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            status, answer = issuer.answer(self.headers.get("authorization", ""), parse_qs(body))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Nothing: stderr is the test's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), TokenRequests)
    issuer.url = f"http://127.0.0.1:{server.server_port}/token"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
