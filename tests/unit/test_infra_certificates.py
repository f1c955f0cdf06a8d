import ipaddress
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from milo_billing.infra.certificates import (
    AUTHORITY_DAYS,
    LEAF_DAYS,
    RENEW_DAYS,
    ensure_certificates,
    read_certificate,
)

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)


def ensure(folder: Path, *names: str, now: datetime = NOW) -> bool:
    return ensure_certificates(folder, names=names, now=now)[1]


def test_a_strict_verifier_accepts_the_leaf_for_every_name(tmp_path: Path) -> None:
    certificates, _ = ensure_certificates(tmp_path, names=("billing.example.com",), now=NOW)
    chain = x509.load_pem_x509_certificates(certificates.leaf.read_bytes())
    policy = PolicyBuilder().store(Store([read_certificate(certificates.authority)])).time(NOW)
    names: list[x509.DNSName | x509.IPAddress] = [
        x509.DNSName("localhost"),
        x509.DNSName("billing.example.com"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    for name in names:
        policy.build_server_verifier(name).verify(chain[0], chain[1:])


def test_openssl_loads_the_chain_with_its_key(tmp_path: Path) -> None:
    certificates, _ = ensure_certificates(tmp_path, names=(), now=NOW)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificates.leaf, certificates.leaf_key)


def test_the_authority_lives_ten_years_and_the_leaf_ninety_days(tmp_path: Path) -> None:
    certificates, _ = ensure_certificates(tmp_path, names=(), now=NOW)
    assert read_certificate(certificates.authority).not_valid_after_utc == NOW + timedelta(
        days=AUTHORITY_DAYS
    )
    assert read_certificate(certificates.leaf).not_valid_after_utc == NOW + timedelta(days=LEAF_DAYS)


def test_keys_can_be_read_by_their_owner_alone(tmp_path: Path) -> None:
    certificates, _ = ensure_certificates(tmp_path, names=(), now=NOW)
    for key in (certificates.authority_key, certificates.leaf_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("later", "renewed"),
    [
        (timedelta(0), False),
        (timedelta(days=LEAF_DAYS - RENEW_DAYS, seconds=-1), False),
        (timedelta(days=LEAF_DAYS - RENEW_DAYS), True),
        (timedelta(days=LEAF_DAYS + 1), True),
    ],
)
def test_the_leaf_is_renewed_when_a_third_of_its_life_is_left(
    later: timedelta, renewed: bool, tmp_path: Path
) -> None:
    ensure(tmp_path)
    assert ensure(tmp_path, now=NOW + later) is renewed


def test_a_new_name_renews_the_leaf_and_keeps_the_authority(tmp_path: Path) -> None:
    ensure(tmp_path, "a.example.com")
    authority = (tmp_path / "ca.pem").read_bytes()
    assert ensure(tmp_path, "a.example.com", "b.example.com")
    assert not ensure(tmp_path, "b.example.com")
    assert (tmp_path / "ca.pem").read_bytes() == authority


def test_a_leaf_of_another_authority_is_replaced(tmp_path: Path) -> None:
    ensure(tmp_path)
    ensure(tmp_path / "other")
    (tmp_path / "other" / "server.pem").rename(tmp_path / "server.pem")
    assert ensure(tmp_path)
