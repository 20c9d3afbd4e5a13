"""Certificates for tests and demonstrations: an authority of one's own and what it issues."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .errors import LabError

# A clock that is a little behind, as a container's may be, must still see a valid certificate.
_EARLIER = timedelta(days=1)
_AUTHORITY_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=365)


@dataclass(frozen=True)
class Certificate:
    """An issued certificate: its files, and `pin`, the SHA-256 of its DER in hex."""

    cert_pem: Path
    key_pem: Path
    der: Path
    key_der: Path
    pin: str


class Authority:
    """A certificate authority with an EC P-256 key, its files in `folder` (made if missing).

    `pem` and `der` are the files of its own certificate.
    """

    def __init__(self, folder: Path, name: str = "uxmpp lab CA") -> None:
        self.folder = folder
        self.pem = folder / "ca.pem"
        self.der = folder / "ca.der"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._issued = 0
        now = datetime.now(UTC)
        public = self._key.public_key()
        identifier = x509.SubjectKeyIdentifier.from_public_key(public)
        self._authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            identifier
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _EARLIER)
            .not_valid_after(now + _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.pem.write_bytes(certificate.public_bytes(Encoding.PEM))
            self.der.write_bytes(certificate.public_bytes(Encoding.DER))
        except OSError as e:
            raise LabError(f"cannot write certificates into {folder}: {e.strerror}") from e

    def issue(
        self,
        name: str,
        *,
        names: Iterable[str] = (),
        ips: Iterable[str] = ("127.0.0.1",),
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Certificate:
        """Issue an EC certificate, of server and client use, into a folder of its own.

        It holds for the DNS name `name`, for `names` besides (`*.x` allowed) and for the
        addresses `ips`. The dates are aware ones; without them it is valid now, for a year.
        Raises LabError where the dates or addresses make no certificate.
        """
        start = not_before or min(datetime.now(UTC), not_after or datetime.max.replace(tzinfo=UTC))
        if not_before is None:
            start -= _EARLIER
        end = not_after or start + _LEAF_LIFE
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key()
        try:
            alternatives: list[x509.GeneralName] = [
                x509.DNSName(n) for n in dict.fromkeys((name, *names))
            ]
            alternatives += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
            certificate = (
                x509.CertificateBuilder()
                .subject_name(_named(name))
                .issuer_name(self._name)
                .public_key(public)
                .serial_number(x509.random_serial_number())
                .not_valid_before(start)
                .not_valid_after(end)
                .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_usage(signs_certificates=False), critical=True)
                .add_extension(
                    x509.ExtendedKeyUsage(
                        [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                    ),
                    critical=False,
                )
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
                .add_extension(self._authority, critical=False)
                .sign(self._key, hashes.SHA256())
            )
        except ValueError as e:
            raise LabError(f"cannot issue a certificate for {name!r}: {e}") from e
        self._issued += 1
        folder = self.folder / f"{self._issued}-{name.replace('/', '_')}"
        der = certificate.public_bytes(Encoding.DER)
        issued = Certificate(
            cert_pem=folder / "cert.pem",
            key_pem=folder / "key.pem",
            der=folder / "cert.der",
            key_der=folder / "key.der",
            pin=sha256(der).hexdigest(),
        )
        plain = NoEncryption()
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            issued.cert_pem.write_bytes(certificate.public_bytes(Encoding.PEM))
            issued.der.write_bytes(der)
            issued.key_pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, plain))
            issued.key_der.write_bytes(
                key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, plain)
            )
        except OSError as e:
            raise LabError(f"cannot write certificates into {folder}: {e.strerror}") from e
        return issued


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
