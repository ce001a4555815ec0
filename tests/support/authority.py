"""A certificate authority of a test's own, and what it issues."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.x509.oid import NameOID

SIGNS: Final = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)
LASTING: Final = timedelta(days=30)
BEFORE: Final = timedelta(days=60)
"""So long ago the certificates began: one that has expired was valid once."""


class Issued(NamedTuple):
    """PEM files; `both` is the key (PKCS#8) and the certificate."""

    cert_file: Path
    key_file: Path
    both: Path


class OwnAuthority:
    """Of a folder, in which lies what it issues."""

    def __init__(self, folder: Path, key: EllipticCurvePrivateKey, own: x509.Certificate) -> None:
        self.folder, self._key, self._own = folder, key, own
        self.ca_file = folder / "ca.crt"

    @classmethod
    def at(cls, folder: Path) -> Self:
        folder.mkdir(parents=True)
        key, name = generate_private_key(SECP256R1()), _named(str(folder))
        unsigned = (
            _unsigned(name, name, key, LASTING)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(SIGNS, critical=True)
            .add_extension(_identifier_of(key), critical=False)
        )
        own = unsigned.sign(key, hashes.SHA256())
        made = cls(folder, key, own)
        made.ca_file.write_bytes(own.public_bytes(serialization.Encoding.PEM))
        return made

    def issue(self, name: str, hosts: tuple[str, ...] = (), lasting: timedelta = LASTING) -> Issued:
        """For a server at these hosts (names or addresses), or a client of that common name."""
        key = generate_private_key(SECP256R1())
        signer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            _identifier_of(self._key)
        )
        unsigned = _unsigned(_named(name), self._own.subject, key, lasting)
        unsigned = unsigned.add_extension(signer, critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([*map(_host, hosts)])
            unsigned = unsigned.add_extension(names, critical=False)
        signed = unsigned.sign(self._key, hashes.SHA256())
        certificate = signed.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        issued = Issued(*(self.folder / f"{name}.{kind}" for kind in ("crt", "key", "pem")))
        contents = (certificate, secret, secret + certificate)
        for file, content in zip(issued, contents, strict=True):
            file.write_bytes(content)
            file.chmod(0o600)
        return issued


def _named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[-60:])])


def _identifier_of(key: EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, lasting: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + lasting)
    )
