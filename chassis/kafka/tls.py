"""What a TLS connection is made with: files in PEM, each of which names the setting that it comes from."""

import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509

from chassis.tls import trusting

T = TypeVar("T")
MEANT: Final = {"ca_file": "no certificates (PEM)", "key_file": "not the certificate's key (PEM)"}


class UnusableFileError(OSError):
    """What is wrong with the file of a setting; `field` is that of `Cluster`."""

    def __init__(self, field: str, file: str, why: str) -> None:
        super().__init__(f"{file}: {why}")
        self.field = field


def check_authorities(file: str) -> None:
    """Raises UnusableFileError."""
    _trusting(file)


def check_certificate(file: str, now: datetime | None = None) -> None:
    """Raises UnusableFileError for what is no certificate, or has ended by `now`."""
    try:
        certificate = x509.load_pem_x509_certificate(Path(file).read_bytes())
    except OSError as error:
        raise UnusableFileError("cert_file", file, error.strerror or repr(error)) from error
    except ValueError as error:
        raise UnusableFileError("cert_file", file, "no certificate (PEM)") from error
    if now and certificate.not_valid_after_utc <= now:
        ended = certificate.not_valid_after_utc.isoformat(timespec="minutes")
        raise UnusableFileError("cert_file", file, f"the certificate has expired ({ended})")


def check_key(cert_file: str, key_file: str) -> None:
    """Raises UnusableFileError for what is not the key of the certificate."""
    _add_own(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert_file, key_file)


def refuse_unusable(field: str, file: str, cert_file: str = "") -> None:
    """Raises ValueError for a file that can't be used; a key needs its certificate. Others are no files."""
    try:
        match field:
            case "ca_file":
                check_authorities(file)
            case "cert_file":
                check_certificate(file)
            case "key_file" if cert_file:
                check_key(cert_file, file)
    except OSError as error:
        raise ValueError(str(error)) from error


def context_of(ca_file: str, cert_file: str, key_file: str, now: datetime) -> ssl.SSLContext:
    """A broker's certificate has to be for its host name. Raises UnusableFileError."""
    context = _trusting(ca_file)
    if cert_file:
        check_certificate(cert_file, now)
        _add_own(context, cert_file, key_file)
    return context


def context_for_an_issuer(ca_file: str) -> ssl.SSLContext:
    """For an issuer of tokens, which is often a public one: the system's authorities and the file's."""
    context = _trusting("")
    if ca_file:
        _loaded("ca_file", ca_file, lambda: context.load_verify_locations(ca_file))
    return context


def _trusting(ca_file: str) -> ssl.SSLContext:
    return _loaded("ca_file", ca_file, lambda: trusting(ca_file))


def _add_own(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    _loaded(
        "key_file",
        key_file,
        lambda: context.load_cert_chain(cert_file, key_file, password=_no_passphrase),
    )


def _loaded(field: str, file: str, load: Callable[[], T]) -> T:
    try:
        return load()
    except ssl.SSLError as error:
        raise UnusableFileError(field, file, MEANT[field]) from error
    except OSError as error:
        raise UnusableFileError(field, file, error.strerror or MEANT[field]) from error


def _no_passphrase() -> str:
    """Else a key that has one would be asked for at the terminal."""
    return ""
