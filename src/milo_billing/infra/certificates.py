"""TLS of a server that stands alone: a certificate authority of its own, and the leaf that it signs.

The authority lives ten years and is what clients trust; the leaf lives ninety days and is renewed in place when a third
of that is left, or when its names change. Keys never leave the folder, which only the service may read.
"""

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from milo_billing.infra.clock import random_bits

AUTHORITY_DAYS = 3650
LEAF_DAYS = 90
RENEW_DAYS = 30
CLOCK_SKEW = timedelta(minutes=5)
"""Clients whose clock is a little behind must not find a certificate from the future."""

STANDING_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the four files are. `leaf` holds the leaf followed by the authority."""

    folder: Path

    @property
    def authority(self) -> Path:
        """What clients trust, PEM."""
        return self.folder / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """The authority's key."""
        return self.folder / "ca.key"

    @property
    def leaf(self) -> Path:
        """What the server shows."""
        return self.folder / "server.pem"

    @property
    def leaf_key(self) -> Path:
        """The leaf's key."""
        return self.folder / "server.key"


def ensure_certificates(folder: Path, *, names: Iterable[str], now: datetime) -> tuple[Certificates, bool]:
    """Have valid certificates for `names` and the standing ones (localhost and its addresses) in `folder`.

    Returns them, and whether the leaf is new. The authority is made once; when it has run out, clients must be given a
    new one, so that is left to people: delete the folder.
    """
    certificates = Certificates(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (certificates.authority.exists() and certificates.authority_key.exists()):
        _make_authority(certificates, now=now)
        certificates.leaf.unlink(missing_ok=True)
    wanted = general_names((*STANDING_NAMES, *names))
    if not needs_renewal(certificates, wanted=wanted, now=now):
        return certificates, False
    _make_leaf(certificates, names=wanted, now=now)
    return certificates, True


def general_names(names: Iterable[str]) -> tuple[x509.GeneralName, ...]:
    """Each name once, as an address where it is one, else as a DNS name; in order."""
    return tuple(
        _general_name(name) for name in dict.fromkeys(name.strip().lower() for name in names) if name
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def needs_renewal(certificates: Certificates, *, wanted: Iterable[x509.GeneralName], now: datetime) -> bool:
    """Whether the leaf is missing, near its end, without one of the names, or of another authority."""
    if not (certificates.leaf.exists() and certificates.leaf_key.exists()):
        return True
    leaf = read_certificate(certificates.leaf)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if any(name not in names for name in wanted):
        return True
    if leaf.issuer != read_certificate(certificates.authority).subject:
        return True
    return not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc - timedelta(days=RENEW_DAYS)


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file; ValueError if there is none."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def _make_authority(certificates: Certificates, *, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # the random part keeps authorities of different installations apart, in trust stores and for the check of issuers
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"Milo Billing local authority {random_bits(32):08x}")]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = (
        _builder(subject=name, issuer=name, key=key, now=now, days=AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(certificates.authority_key, _key_bytes(key), mode=0o600)
    _write(certificates.authority, authority.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _make_leaf(certificates: Certificates, *, names: tuple[x509.GeneralName, ...], now: datetime) -> None:
    authority = read_certificate(certificates.authority)
    authority_key = serialization.load_pem_private_key(certificates.authority_key.read_bytes(), password=None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise ValueError(
            f"{certificates.authority_key} is not a key that we made: delete {certificates.folder}"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Milo Billing")])
    authority_identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    leaf = (
        _builder(subject=subject, issuer=authority.subject, key=key, now=now, days=LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_identifier),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    chain = leaf.public_bytes(serialization.Encoding.PEM) + authority.public_bytes(serialization.Encoding.PEM)
    # the certificate goes first: needs_renewal looks at it, so a kill between the two is mended at the next start
    certificates.leaf.unlink(missing_ok=True)
    _write(certificates.leaf_key, _key_bytes(key), mode=0o600)
    _write(certificates.leaf, chain, mode=0o644)


def _builder(
    *, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    staging = path.with_suffix(f"{path.suffix}.new")
    staging.unlink(missing_ok=True)
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    staging.rename(path)
