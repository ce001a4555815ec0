"""A certificate authority of a stack's own: made on the spot, for its servers and their clients."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from saga_cli.stack.state import write_private

AUTHORITY_DAYS: Final = 3650
LEAF_DAYS: Final = 397
CLOCKS_DIFFER: Final = timedelta(hours=1)
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
FOR_ANY_END: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
PrivateKey = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM that only their owner may read; `both` is the key (PKCS#8) and the certificate."""

    cert_file: Path
    key_file: Path
    both: Path

    @classmethod
    def in_folder(cls, folder: Path, name: str) -> Self:
        return cls(*(folder / f"{name}.{kind}" for kind in ("crt", "key", "pem")))

    def write(self, certificate: x509.Certificate, key: PrivateKey) -> None:
        """Each file is replaced at once: who reads it meanwhile finds the old one, or the new one."""
        cert, secret = _pem_of(certificate), _pem_of_key(key)
        write_private(self.cert_file, cert)
        write_private(self.key_file, secret)
        write_private(self.both, secret + cert)


@dataclass(frozen=True, slots=True)
class Authority:
    """Made by `at`; the folder holds its key, and what it has issued."""

    folder: Path
    certificate: x509.Certificate
    key: PrivateKey

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The one of a folder, or a new one."""
        files = Certificate.in_folder(folder, "ca")
        if not files.both.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write(*_new_authority(f"saga {folder.resolve().parent.name}"))
        key = serialization.load_pem_private_key(files.key_file.read_bytes(), None)
        assert isinstance(key, PrivateKey), "written here"
        return cls(folder, x509.load_pem_x509_certificate(files.cert_file.read_bytes()), key)

    @property
    def ca_file(self) -> Path:
        """What the others trust."""
        return Certificate.in_folder(self.folder, "ca").cert_file

    def issue(
        self,
        name: str,
        hosts: Iterable[str] = LOOPBACK,
        lasting: timedelta = timedelta(days=LEAF_DAYS),
        file: str = "",
    ) -> Certificate:
        """A certificate of that common name, for a server at the hosts, or a client.

        Its files are named after it, or as `file` says, and replace those of before. It has ended already
        where `lasting` is negative.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        issued = Certificate.in_folder(self.folder, file or name)
        ends = datetime.now(UTC) + lasting
        begins = min(datetime.now(UTC), ends) - CLOCKS_DIFFER
        names = x509.SubjectAlternativeName([*map(_general_name, hosts)])
        unsigned = (
            _builder(name, self.certificate.subject, key, begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(FOR_ANY_END), critical=False)
            .add_extension(names, critical=False)
            .add_extension(_identifier_of(self.certificate), critical=False)
        )
        issued.write(unsigned.sign(self.key, hashes.SHA256()), key)
        return issued


def _new_authority(name: str) -> tuple[x509.Certificate, PrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    begins = datetime.now(UTC) - CLOCKS_DIFFER
    ends = begins + timedelta(days=AUTHORITY_DAYS)
    signs = x509.KeyUsage(
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
    unsigned = (
        _builder(name, _name(name), key, begins, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return unsigned.sign(key, hashes.SHA256()), key


def _builder(
    name: str, issuer: x509.Name, key: PrivateKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _identifier_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem_of_key(key: PrivateKey) -> str:
    """PKCS#8: the form that Kafka takes."""
    form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, bare).decode()
