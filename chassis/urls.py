"""What addresses of servers look like. A check returns the text as it is, and quotes it in no error."""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

_PLACE: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:,/@\[\]]+)(?::(\d{1,5}))?")
STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
"""Who reads the URL would quote what is around it."""
HIGHEST_PORT: Final = 65535


def bootstrap_servers(text: str) -> str:
    """The text as it is. Raises ValueError unless it is host:port, or several of them."""
    if not all(_is_place(broker.strip(), port=True) for broker in text.split(",")):
        raise ValueError("a broker is host:port; several have commas between")
    return text


def sentinel_places(text: str) -> tuple[tuple[str, int], ...]:
    """Host and port of each. Raises ValueError unless it is host:port, or several of them."""
    places = [place.strip() for place in text.split(",")]
    if not all(_is_place(place, port=True) for place in places):
        raise ValueError("a sentinel is host:port; several have commas between")
    split_places = (place.rpartition(":") for place in places)
    return tuple((host.strip("[]"), int(port)) for host, _, port in split_places)


def postgres_url(text: str) -> str:
    """The text as it is. Raises ValueError, which never quotes it: it holds a password.

    It may name several hosts, with commas between.
    """
    like = "postgresql://role:password@host:port/database"
    url = split(text, {"postgresql", "postgres"}, like, hosts=9)
    if STRAY_PERCENT.search(text):
        raise ValueError("a percent sign that encodes nothing: write %25")
    if not url.path.strip("/"):
        raise ValueError(f"the database is missing in a URL such as {like}")
    return text


def redis_url(text: str) -> str:
    """As `postgres_url`."""
    like = "redis://host:port/number"
    url = split(text, {"redis", "rediss"}, like)
    if not re.fullmatch(r"/?|/\d{1,5}", url.path):
        raise ValueError(f"the database of a URL such as {like} is a number")
    return text


def with_password(url: str, password: str) -> str:
    """The URL with a password in it. Raises ValueError where it has one already."""
    if not password:
        return url
    parts = urlsplit(url)
    if parts.password:
        raise ValueError("the URL holds a password too")
    user, _, place = parts.netloc.rpartition("@")
    netloc = f"{user.removesuffix(':')}:{quote(password, safe='')}@{place}"
    return parts._replace(netloc=netloc).geturl()


def http_url(text: str) -> str:
    """As `postgres_url`."""
    split(text, {"http", "https"}, "http://host:port")
    return text


def confidential_url(text: str) -> str:
    """As `http_url`; a secret is sent there, so that HTTP without TLS is for this machine alone."""
    url = split(text, {"http", "https"}, "http://host:port")
    if url.scheme == "http" and not _is_this_machine(url.hostname or ""):
        raise ValueError("a secret is sent there: https://host, except to this machine")
    return text


def token_url(text: str) -> str:
    """As `confidential_url`, or nothing."""
    return confidential_url(text) if text else text


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, even one that begins as an address
        return False


def split(text: str, schemes: set[str], like: str, hosts: int = 1) -> SplitResult:
    """The parts of a URL of these schemes. Raises ValueError, with what it should be like."""
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise ValueError(f"no URL such as {like}: its host is malformed") from error
    places = url.netloc.rpartition("@")[2].split(",")
    if url.scheme not in schemes or len(places) > hosts or any(c.isspace() for c in text):
        raise ValueError(f"no URL such as {like}")
    if not all(map(_is_place, places)):
        raise ValueError(f"no host and port as in {like}")
    return url


def _is_place(text: str, *, port: bool = False) -> bool:
    """Is it a host with a port, or where that is not asked for, without one?"""
    found = _PLACE.fullmatch(text)
    if found is None or found[1] is None:
        return found is not None and not port
    return 1 <= int(found[1]) <= HIGHEST_PORT
