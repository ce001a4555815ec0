"""Whose certificates a client trusts, and what an error of TLS is about, in words for a person."""

import ssl
from dataclasses import dataclass
from typing import Final, Literal

EXPIRED: Final = 10
NOT_YET_VALID: Final = 9
MISNAMED: Final = {62, 64}
"""Codes of OpenSSL's X509_V_ERR: time, and what the certificate is for."""
OF_FILES: Final = {
    "NO_CERTIFICATE_OR_CRL_FOUND": "ca_file",
    "KEY_VALUES_MISMATCH": "key_file",
    "BAD_DECRYPT": "key_file",
}
PLAIN: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For a client of URLs without TLS: it would load all authorities for them too, 20 ms of CPU."""
Setting = Literal["ca_file", "cert_file", "key_file", "url"]


@dataclass(frozen=True, slots=True)
class TlsFault:
    """`setting` is the one to look at, `why` what is wrong."""

    setting: Setting
    why: str


def trusting(ca_file: str) -> ssl.SSLContext:
    """Trusts the authorities of a file, or without one the system's; the host name is verified too.

    Raises OSError for a file that can't be read, SSLError for one without certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file:
        context.load_verify_locations(ca_file)
    else:
        context.load_default_certs()
    return context


def fault_of(error: ssl.SSLError) -> TlsFault:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error)
    reason = error.reason or ""
    words = reason.replace("_", " ").lower()
    if reason == "WRONG_VERSION_NUMBER":
        return TlsFault("url", "the server does not answer with TLS")
    if found := OF_FILES.get(reason):
        return TlsFault(found, words)  # type: ignore[arg-type]  # one of the table
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return TlsFault("cert_file", f"the server refuses it: {words.partition('alert ')[2]}")
    if not reason:  # what OpenSSL's reader of PEM says
        return TlsFault("cert_file", "no certificate and key in PEM")
    return TlsFault("url", f"TLS fails: {words}")


def _of_certificate(error: ssl.SSLCertVerificationError) -> TlsFault:
    if error.verify_code == EXPIRED:
        return TlsFault("url", "the server's certificate has expired")
    if error.verify_code == NOT_YET_VALID:
        return TlsFault("url", "the server's certificate is not valid yet")
    why = error.verify_message.rstrip(".")
    if error.verify_code in MISNAMED:
        return TlsFault("url", f"the server's certificate is another's: {why}")
    return TlsFault("ca_file", f"the server's certificate is not trusted: {why}")
