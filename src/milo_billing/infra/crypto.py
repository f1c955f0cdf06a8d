"""Personal data under a key of its own for each subject, so that erasing the key erases the data.

Owns: the keysets of subjects (infra.subject_keys), sealing and opening. Not: the file that wraps the keysets
(infra.keyfile), which fields are personal (the kinds say), when a subject is erased.

Two levels, both Tink AEAD keysets (AES256-GCM). A subject's keyset encrypts the subject's values with the
subject's uuid as associated data, so that a ciphertext cannot be moved to another subject. The installation's
keyset, a local file, wraps the keysets of subjects. Losing the file loses every personal value; the database
alone shows none.
"""

import base64
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, final
from uuid import UUID

import orjson

from milo_billing.infra.clock import monotonic_s
from milo_billing.infra.database import Tx
from milo_billing.infra.keyfile import Aead, InstallationKey, UnableToOpen, load_tink
from milo_billing.kernel.errors import Conflict

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

KEYSETS_MAX: Final = 10_000
"""How many keysets of subjects one process keeps in memory."""

TRUSTED_S: Final = 5.0
"""For so many seconds `open` believes a keyset in memory without asking whether it was erased meanwhile."""


@final
@dataclass(frozen=True, slots=True)
class Erased:
    """What `open` gives for a value whose subject was erased."""


ERASED: Final = Erased()


class SubjectErased(Conflict):
    """Nothing more can be written about a subject that was erased."""


@dataclass(frozen=True, slots=True)
class _Keyset:
    """A subject's keyset in memory: `primitive` None says that the subject was erased."""

    wrapped: bytes | None
    primitive: Aead | None
    known_at_s: float


class Vault:
    """Seals and opens personal values. One a process, shared by its threads.

    A ciphertext stays valid through rotation: only the wrapping of the subject's keyset changes.
    """

    def __init__(self, keyfile: Path, *, monotonic: Callable[[], float] = monotonic_s) -> None:
        """`keyfile` is made, mode 0600, when the first value is sealed or opened and it is not there."""
        self._installation = InstallationKey(keyfile)
        self._monotonic = monotonic
        self._keysets: OrderedDict[UUID, _Keyset] = OrderedDict()
        self._lock = threading.Lock()

    def seal(self, tx: Tx, *, subject: UUID, value: JSON, at: datetime) -> str:
        """The value as base64 ciphertext, under the subject's keyset, which is made on first use.

        The subject's row stays locked until the transaction ends, so that an erasure in another transaction
        comes wholly before or wholly after. Raises SubjectErased if it came before.
        """
        keyset = self._remember(subject, self._locked_keyset(tx, subject=subject, at=at))
        if keyset.primitive is None:
            raise SubjectErased(
                f"the personal data of {subject} was erased: nothing more can be written about it"
            )
        clear = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return base64.b64encode(keyset.primitive.encrypt(clear, subject.bytes)).decode()

    def open(self, tx: Tx, *, subject: UUID, ciphertext: str) -> "JSON | Erased":
        """The value behind a ciphertext of this subject; ERASED once the subject's keyset is destroyed.

        An erasure by another process shows here after TRUSTED_S at the latest, and at once after `prefetch`.
        Raises UnableToOpen if it was not sealed for this subject, or was changed since.
        """
        keyset = self._trusted(subject) or self._read_keyset(tx, subject)
        if keyset is None:
            raise UnableToOpen(
                f"there is no key for the personal data of {subject}: nothing was sealed for it"
            )
        if keyset.primitive is None:
            return ERASED
        try:
            return _decrypted(keyset.primitive, subject, ciphertext)
        except (load_tink().error, ValueError):  # ValueError: no base64
            # a keyset of a transaction that was rolled back may be in memory: the database has the true one
            current = self._read_keyset(tx, subject)
            if current is None or current.wrapped == keyset.wrapped:
                raise UnableToOpen(f"a personal value of {subject} does not open with its key") from None
        return self.open(tx, subject=subject, ciphertext=ciphertext)

    def prefetch(self, tx: Tx, subjects: Iterable[UUID]) -> None:
        """Read the keysets of many subjects in one query, so that the following `open` calls need none.

        For lists: of more than KEYSETS_MAX subjects only the last ones stay in memory.
        """
        wanted = sorted(set(subjects))
        if not wanted:
            return
        query = "select subject, wrapped_keyset from infra.subject_keys where subject = any(%s)"
        for subject, wrapped in tx.execute(query, (wanted,)).fetchall():
            self._remember(subject, wrapped)

    def erase(self, tx: Tx, subject: UUID, at: datetime) -> None:
        """Destroy the subject's keyset, for good; erasing again changes nothing.

        A subject that has none yet is marked as well, so that none is ever made. Backups that hold the keyset
        open the values again: how long they are kept bounds the erasure (domain.md §13).
        """
        tx.execute(
            "insert into infra.subject_keys (subject, wrapped_keyset, created_at, destroyed_at) "
            "values (%(subject)s, null, %(at)s, %(at)s) on conflict (subject) do update "
            "set wrapped_keyset = null, destroyed_at = excluded.destroyed_at "
            "where subject_keys.destroyed_at is null",
            {"subject": subject, "at": at},
        )
        with self._lock:
            self._keysets.pop(subject, None)

    # -- rotation of the installation's key

    def rotate_installation_key(self) -> None:
        """Wrap new keysets with a new key from now on. Other processes follow when they meet one of those.

        To be rid of the earlier keys, `rewrap` everything and then call `retire_installation_keys`.
        """
        self._installation.rotate()

    def rewrap(self, tx: Tx, *, limit: int, after: UUID | None = None) -> UUID | None:
        """Wrap up to `limit` keysets again with the newest key, in order of subject, from behind `after`.

        Returns the last subject, for the next call; None when there were no more. Ciphertexts stay.
        """
        rows = tx.execute(
            "select subject, wrapped_keyset from infra.subject_keys where wrapped_keyset is not null "
            "and subject > %s order by subject limit %s for update",
            (after or UUID(int=0), limit),
        ).fetchall()
        for subject, wrapped in rows:
            again = load_tink().wrap(
                self._unwrapped(subject, wrapped), self._installation.primitive(), subject.bytes
            )
            tx.execute(
                "update infra.subject_keys set wrapped_keyset = %s where subject = %s", (again, subject)
            )
        return rows[-1][0] if rows else None

    def retire_installation_keys(self, tx: Tx) -> None:
        """Forget every installation key but the newest.

        Raises Conflict if a keyset still needs an earlier one: `rewrap` and commit first.
        """
        # no keyset is made meanwhile: see _new_row
        tx.execute("lock table infra.subject_keys in share row exclusive mode")
        newest = self._installation.newest()
        with tx.cursor(name="wrapped_keysets") as cursor:
            cursor.execute(
                "select subject, wrapped_keyset from infra.subject_keys where wrapped_keyset is not null"
            )
            for subject, wrapped in cursor:
                try:
                    load_tink().unwrap(wrapped, newest, subject.bytes)
                except load_tink().error:
                    raise Conflict(
                        f"the key of {subject} is wrapped by an earlier installation key: rewrap first"
                    ) from None
        self._installation.retire()

    # -- keysets

    def _locked_keyset(self, tx: Tx, *, subject: UUID, at: datetime) -> bytes | None:
        locked = "select wrapped_keyset from infra.subject_keys where subject = %s for share"
        row = tx.execute(locked, (subject,)).fetchone()
        if row is None:
            self._new_row(tx, subject=subject, at=at)
            row = tx.execute(locked, (subject,)).fetchone()
        assert row is not None, "rows of infra.subject_keys are never deleted"
        return row[0]

    def _new_row(self, tx: Tx, *, subject: UUID, at: datetime) -> None:
        # locked before the key file is read: so no keyset is wrapped by a key that is just being retired
        tx.execute("lock table infra.subject_keys in row exclusive mode")
        self._installation.reload()
        wrapped = load_tink().wrap(load_tink().new_keyset(), self._installation.primitive(), subject.bytes)
        tx.execute(
            "insert into infra.subject_keys (subject, wrapped_keyset, created_at) values (%s, %s, %s) "
            "on conflict (subject) do nothing",
            (subject, wrapped, at),
        )

    def _read_keyset(self, tx: Tx, subject: UUID) -> _Keyset | None:
        query = "select wrapped_keyset from infra.subject_keys where subject = %s"
        row = tx.execute(query, (subject,)).fetchone()
        return None if row is None else self._remember(subject, row[0])

    def _remember(self, subject: UUID, wrapped: bytes | None) -> _Keyset:
        """The keyset as the database has it now, unwrapped only if it is not the one in memory."""
        with self._lock:
            known = self._keysets.get(subject)
        if known is not None and known.wrapped == wrapped:
            primitive = known.primitive
        else:
            primitive = None if wrapped is None else load_tink().primitive(self._unwrapped(subject, wrapped))
        keyset = _Keyset(wrapped, primitive, self._monotonic())
        with self._lock:
            self._keysets[subject] = keyset
            self._keysets.move_to_end(subject)
            while len(self._keysets) > KEYSETS_MAX:
                self._keysets.popitem(last=False)
        return keyset

    def _trusted(self, subject: UUID) -> _Keyset | None:
        with self._lock:
            known = self._keysets.get(subject)
            if known is None or self._monotonic() - known.known_at_s > TRUSTED_S:
                return None
            self._keysets.move_to_end(subject)
            return known

    def _unwrapped(self, subject: UUID, wrapped: bytes) -> Any:
        installation = self._installation.primitive()
        try:
            return load_tink().unwrap(wrapped, installation, subject.bytes)
        except load_tink().error:
            # another process may have rotated the installation's key since this one read it
            if self._installation.reload():
                return self._unwrapped(subject, wrapped)
            raise UnableToOpen(
                f"the key of {subject} was wrapped by an installation key that is not in "
                f"{self._installation.keyfile}: restore the file from a backup"
            ) from None


def _decrypted(primitive: Aead, subject: UUID, ciphertext: str) -> JSON:
    return orjson.loads(primitive.decrypt(base64.b64decode(ciphertext, validate=True), subject.bytes))
