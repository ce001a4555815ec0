"""An issuer in this process at which one signs in: its two endpoints, and a person who says yes."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

from chassis.secret import Secret
from console.web.oidc import OidcClient, SignIn
from tests.support.issuing import ISSUER, a_verifier, claims, signed

CLIENT: Final = "console"
SECRET: Final = "keep it"
PUBLIC: Final = "https://console.example.com"


class OidcIssuer:
    """What it is asked is in `asked`. Changes of `identity` are of the claims of ID tokens."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.identity: dict[str, Any] = {}
        self.scope = "operate"
        self.lifetime_s = 300
        self.away = False
        self.revoked: set[str] = set()
        self.endpoints: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "end_session_endpoint": f"{ISSUER}/logout",
        }
        self._codes: dict[str, Mapping[str, str]] = {}

    def sign_in(self) -> SignIn:
        client = OidcClient(ISSUER, CLIENT, Secret(SECRET), "openid operate", PUBLIC)
        identities = a_verifier()
        identities.audience = CLIENT
        return SignIn(client, identities, httpx.MockTransport(self.answer))

    def approve(self, address: str) -> str:
        """A person signs in where the browser was sent: where it is sent back to."""
        query = query_of(address)
        code = f"code-{len(self._codes)}"
        self._codes[code] = query
        return f"{query['redirect_uri']}?code={code}&state={query['state']}&iss={ISSUER}"

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("nobody listens")
        if request.url.path.startswith("/.well-known/"):
            return httpx.Response(200, json=self.endpoints)
        form = {name: x[0] for name, x in parse_qs(request.content.decode()).items()}
        self.asked.append(form)
        login = base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '+')}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            return httpx.Response(401, json={"error": "invalid_client"})
        if form["grant_type"] == "refresh_token":
            return self._renewed(form["refresh_token"])
        return self._exchanged(form)

    def _exchanged(self, form: Mapping[str, str]) -> httpx.Response:
        query = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if query is None or query["code_challenge"] != challenge:
            return httpx.Response(400, json={"error": "invalid_grant"})
        own = {"aud": CLIENT, "nonce": query["nonce"], "scope": None, **self.identity}
        id_token = signed(header={"typ": "JWT"}, **own)
        return httpx.Response(200, json={**self._issued("first"), "id_token": id_token})

    def _renewed(self, refresh: str) -> httpx.Response:
        if refresh in self.revoked:
            return httpx.Response(400, json={"error": "invalid_grant"})
        self.revoked.add(refresh)  # it counts once
        return httpx.Response(200, json=self._issued(f"after-{refresh}"))

    def _issued(self, refresh: str) -> dict[str, Any]:
        access = signed(scope=self.scope, exp=claims()["exp"] - 600 + self.lifetime_s)
        times = {"expires_in": self.lifetime_s, "token_type": "Bearer"}
        return {"access_token": access, "refresh_token": refresh, **times}


def query_of(address: str) -> dict[str, str]:
    return {name: x[0] for name, x in parse_qs(urlsplit(address).query).items()}
