"""What addresses of servers are taken."""

import pytest

from chassis.urls import confidential_url


@pytest.mark.parametrize(
    "url",
    [
        "https://idp.example/token",
        "HTTPS://idp.example",
        "http://localhost:8090/token",
        "http://127.0.0.1/token",
        "http://127.1.2.3",
        "http://[::1]:8090",
    ],
)
def test_a_secret_goes_over_tls_or_to_this_machine(url: str) -> None:
    assert confidential_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example/token",
        "HTTP://idp.example/token",
        "http://127.evil.example/token",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example/",
        "http://localhost@evil.example/",
        "http://[::2]/token",
        "http://0.0.0.0/token",
        "http://128.0.0.1",
        "ftp://127.0.0.1",
        "",
    ],
)
def test_a_secret_is_sent_nowhere_else(url: str) -> None:
    with pytest.raises(ValueError, match=r"https://host|no URL|no host"):
        confidential_url(url)
