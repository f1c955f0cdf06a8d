"""Sealing, opening, erasing and rotation against the real table of keysets."""

import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from milo_billing.infra import crypto
from milo_billing.infra.crypto import ERASED, JSON, Erased, SubjectErased, Vault
from milo_billing.infra.database import EVERYWHERE, Databases, Tx
from milo_billing.infra.keyfile import UnableToOpen
from milo_billing.kernel.errors import Conflict

AT = datetime(2026, 10, 1, tzinfo=UTC)
ANNA = UUID("00000000-0000-4000-8000-00000000000a")
BEN = UUID("00000000-0000-4000-8000-00000000000b")
ADDRESS: JSON = {"name": "Anna Ærø", "invoiceEmails": ["a@example.org"], "floor": 3}


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def keyfile(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "installation.json"


@pytest.fixture
def vault(keyfile: Path) -> Vault:
    return Vault(keyfile)


def seal(vault: Vault, tx: Tx, value: JSON = ADDRESS, subject: UUID = ANNA) -> str:
    return vault.seal(tx, subject=subject, value=value, at=AT)


def flipped(ciphertext: str) -> str:
    middle = len(ciphertext) // 2
    return ciphertext[:middle] + ("A" if ciphertext[middle] != "A" else "B") + ciphertext[middle + 1 :]


@pytest.mark.parametrize("value", [ADDRESS, [], "x", 0, True, None, {"b": 1, "a": {"d": None, "c": "ü"}}])
def test_what_was_sealed_opens_again(vault: Vault, tx: Tx, value: JSON):
    assert vault.open(tx, subject=ANNA, ciphertext=seal(vault, tx, value)) == value


def test_the_same_value_never_looks_the_same(vault: Vault, tx: Tx):
    assert seal(vault, tx) != seal(vault, tx)


def test_another_process_opens_it_with_the_same_key_file(vault: Vault, keyfile: Path, tx: Tx):
    assert Vault(keyfile).open(tx, subject=ANNA, ciphertext=seal(vault, tx)) == ADDRESS


def test_the_database_holds_neither_the_value_nor_an_unwrapped_key(vault: Vault, keyfile: Path, tx: Tx):
    seal(vault, tx)
    row = tx.execute("select wrapped_keyset from infra.subject_keys where subject = %s", (ANNA,)).fetchone()
    assert row is not None
    assert b"AesGcmKey" not in row[0]
    assert b"Anna" not in keyfile.read_bytes()


def test_a_ciphertext_does_not_open_for_another_subject(vault: Vault, tx: Tx):
    ciphertext = seal(vault, tx)
    seal(vault, tx, subject=BEN)
    with pytest.raises(UnableToOpen, match=str(BEN)):
        vault.open(tx, subject=BEN, ciphertext=ciphertext)


def test_a_keyset_moved_to_another_subject_does_not_open_either(vault: Vault, keyfile: Path, tx: Tx):
    ciphertext = seal(vault, tx)
    tx.execute(
        "insert into infra.subject_keys (subject, wrapped_keyset, created_at) "
        "select %s, wrapped_keyset, created_at from infra.subject_keys where subject = %s",
        (BEN, ANNA),
    )
    with pytest.raises(UnableToOpen, match="not in"):
        Vault(keyfile).open(tx, subject=BEN, ciphertext=ciphertext)


@pytest.mark.parametrize("ciphertext", ["", "AAAA", "not base64!", "ü"])
def test_what_is_no_ciphertext_does_not_open(vault: Vault, tx: Tx, ciphertext: str):
    seal(vault, tx)
    with pytest.raises(UnableToOpen):
        vault.open(tx, subject=ANNA, ciphertext=ciphertext)


def test_a_changed_ciphertext_does_not_open_and_the_error_names_no_value(vault: Vault, tx: Tx):
    ciphertext = seal(vault, tx, "anna@example.org")
    with pytest.raises(UnableToOpen) as caught:
        vault.open(tx, subject=ANNA, ciphertext=flipped(ciphertext))
    assert "anna" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_subject_that_was_never_sealed_has_no_key(vault: Vault, tx: Tx):
    with pytest.raises(UnableToOpen, match="nothing was sealed"):
        vault.open(tx, subject=ANNA, ciphertext="AAAA")


# -- erasure


def test_after_erasure_values_are_erased_and_no_more_are_sealed(vault: Vault, keyfile: Path, tx: Tx):
    ciphertext = seal(vault, tx)
    kept = seal(vault, tx, subject=BEN)
    vault.erase(tx, ANNA, AT)
    for reader in (vault, Vault(keyfile)):
        assert reader.open(tx, subject=ANNA, ciphertext=ciphertext) is ERASED
        assert reader.open(tx, subject=BEN, ciphertext=kept) == ADDRESS
        with pytest.raises(SubjectErased):
            reader.seal(tx, subject=ANNA, value="again", at=AT)


def test_erasing_twice_keeps_the_first_instant(vault: Vault, tx: Tx):
    vault.erase(tx, ANNA, AT)
    vault.erase(tx, ANNA, AT.replace(year=2027))
    assert tx.execute("select destroyed_at from infra.subject_keys").fetchall() == [(AT,)]


def test_the_database_refuses_to_bring_a_destroyed_keyset_back(vault: Vault, tx: Tx):
    vault.erase(tx, ANNA, AT)
    with pytest.raises(psycopg.errors.RestrictViolation):
        tx.execute("update infra.subject_keys set wrapped_keyset = 'x', destroyed_at = null")


def test_an_erasure_elsewhere_shows_after_the_time_of_trust_and_at_once_after_prefetch(keyfile: Path, tx: Tx):
    ticks = Ticks()
    patient, prefetching, eraser = (
        Vault(keyfile, monotonic=ticks),
        Vault(keyfile, monotonic=ticks),
        Vault(keyfile),
    )
    ciphertext = seal(eraser, tx)
    for reader in (patient, prefetching):
        assert reader.open(tx, subject=ANNA, ciphertext=ciphertext) == ADDRESS
    eraser.erase(tx, ANNA, AT)
    assert patient.open(tx, subject=ANNA, ciphertext=ciphertext) == ADDRESS
    prefetching.prefetch(tx, [ANNA])
    assert prefetching.open(tx, subject=ANNA, ciphertext=ciphertext) is ERASED
    ticks.now_s += crypto.TRUSTED_S + 0.1
    assert isinstance(patient.open(tx, subject=ANNA, ciphertext=ciphertext), Erased)


def test_a_keyset_of_a_transaction_that_was_rolled_back_is_not_used(keyfile: Path, databases: Databases):
    vault, other = Vault(keyfile), Vault(keyfile)
    with pytest.raises(ZeroDivisionError), databases.app.transaction(reach=EVERYWHERE) as tx:
        seal(vault, tx)
        raise ZeroDivisionError
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        ciphertext = seal(other, tx)
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        assert vault.open(tx, subject=ANNA, ciphertext=ciphertext) == ADDRESS
        assert other.open(tx, subject=ANNA, ciphertext=seal(vault, tx)) == ADDRESS


def test_two_transactions_that_seal_first_agree_on_one_keyset(keyfile: Path, databases: Databases):
    sealed: list[str] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        with databases.app.transaction(reach=EVERYWHERE) as tx:
            sealed.append(seal(Vault(keyfile), tx))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        reader = Vault(keyfile)
        assert [reader.open(tx, subject=ANNA, ciphertext=c) for c in sealed] == [ADDRESS] * 4


# -- many at once


def test_a_list_needs_one_query(vault: Vault, keyfile: Path, tx: Tx, monkeypatch: pytest.MonkeyPatch):
    subjects = [UUID(int=n) for n in range(1, 51)]
    sealed = [seal(vault, tx, n, subject) for n, subject in enumerate(subjects)]
    reader = Vault(keyfile)
    statements: list[Any] = []
    execute: Any = tx.execute

    def recording(query: Any, *rest: Any) -> Any:
        statements.append(query)
        return execute(query, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(tx, "execute", recording)
        reader.prefetch(tx, iter([*subjects, *subjects]))
        opened = [reader.open(tx, subject=s, ciphertext=c) for s, c in zip(subjects, sealed, strict=True)]
    assert opened == list(range(50))
    assert len(statements) == 1


def test_memory_is_bounded(keyfile: Path, tx: Tx, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crypto, "KEYSETS_MAX", 3)
    vault = Vault(keyfile)
    subjects = [UUID(int=n) for n in range(1, 9)]
    sealed = [seal(vault, tx, n, subject) for n, subject in enumerate(subjects)]
    vault.prefetch(tx, subjects)
    assert [vault.open(tx, subject=s, ciphertext=c) for s, c in zip(subjects, sealed, strict=True)] == list(
        range(8)
    )
    assert len(vault._keysets) == 3  # pyright: ignore[reportPrivateUsage]


# -- the installation's key


def test_the_key_file_is_for_its_owner_only_and_stays_alone_in_its_folder(
    vault: Vault, keyfile: Path, tx: Tx
):
    seal(vault, tx)
    assert stat.S_IMODE(keyfile.stat().st_mode) == 0o600
    assert [path.name for path in keyfile.parent.iterdir()] == [keyfile.name]


def test_a_key_file_that_others_can_read_is_refused(vault: Vault, keyfile: Path, tx: Tx):
    seal(vault, tx)
    keyfile.chmod(0o640)
    with pytest.raises(UnableToOpen, match="chmod 600"):
        seal(Vault(keyfile), tx)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"primaryKeyId": 1, "key": []}', b"\xff"])
def test_a_damaged_key_file_is_named_and_not_replaced(keyfile: Path, tx: Tx, content: bytes):
    keyfile.parent.mkdir()
    keyfile.write_bytes(content)
    keyfile.chmod(0o600)
    with pytest.raises(UnableToOpen, match=keyfile.name):
        seal(Vault(keyfile), tx)
    assert keyfile.read_bytes() == content


def test_another_key_file_opens_nothing_and_says_so(vault: Vault, tmp_path: Path, tx: Tx):
    ciphertext = seal(vault, tx)
    with pytest.raises(UnableToOpen, match="restore the file"):
        Vault(tmp_path / "other.json").open(tx, subject=ANNA, ciphertext=ciphertext)


def test_processes_that_start_together_make_one_key_file(keyfile: Path):
    vaults = [Vault(keyfile) for _ in range(8)]
    start = threading.Barrier(8)
    files: set[bytes] = set()

    def work(vault: Vault) -> None:
        start.wait()
        vault._installation.primitive()  # pyright: ignore[reportPrivateUsage]
        files.add(keyfile.read_bytes())

    threads = [threading.Thread(target=work, args=(vault,)) for vault in vaults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files) == 1


def test_rotation_needs_no_downtime(keyfile: Path, tx: Tx):
    rotating, standing = Vault(keyfile), Vault(keyfile)
    before = seal(standing, tx)
    rotating.rotate_installation_key()
    after = seal(rotating, tx, subject=BEN)
    # a process that read the file before still writes, and follows when it meets the new key
    assert standing.open(tx, subject=BEN, ciphertext=after) == ADDRESS
    assert rotating.open(tx, subject=ANNA, ciphertext=before) == ADDRESS
    assert Vault(keyfile).open(tx, subject=ANNA, ciphertext=before) == ADDRESS
    assert stat.S_IMODE(keyfile.stat().st_mode) == 0o600


def test_an_earlier_key_goes_once_everything_is_wrapped_again(keyfile: Path, tx: Tx):
    vault = Vault(keyfile)
    subjects = [UUID(int=n) for n in range(1, 8)]
    sealed = [seal(vault, tx, n, subject) for n, subject in enumerate(subjects)]
    vault.rotate_installation_key()
    with pytest.raises(Conflict, match="rewrap"):
        vault.retire_installation_keys(tx)
    last = vault.rewrap(tx, limit=3)
    while last is not None:
        last = vault.rewrap(tx, limit=3, after=last)
    vault.retire_installation_keys(tx)
    assert keyfile.read_bytes().count(b"keyId") == 1
    for reader in (vault, Vault(keyfile)):
        opened = [reader.open(tx, subject=s, ciphertext=c) for s, c in zip(subjects, sealed, strict=True)]
        assert opened == list(range(7))
