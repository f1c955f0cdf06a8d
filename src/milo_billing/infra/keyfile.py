"""The installation's key: a Tink keyset in a local file, which wraps the keysets of subjects.

Owns: the file, its rotation, and the loading of Tink. Not: subjects and their values (infra.crypto).
"""

import fcntl
import os
import stat
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import orjson


class UnableToOpen(Exception):
    """A ciphertext or a key that does not fit: tampering, a wrong or a lost key file. Names no value."""


class Aead(Protocol):
    """Tink's primitive: authenticated encryption with associated data."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """The ciphertext, different each time."""
        ...

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """The plaintext. Raises `Tink.error` if the ciphertext or the associated data is another."""
        ...


@dataclass(frozen=True, slots=True)
class Tink:
    """The parts of Tink that are used here."""

    error: type[Exception]
    new_keyset: Callable[[], Any]
    primitive: Callable[[Any], Aead]
    to_json: Callable[[Any], str]
    from_json: Callable[[str], Any]
    wrap: Callable[[Any, Any, bytes], bytes]
    unwrap: Callable[[bytes, Any, bytes], Any]


@cache
def load_tink() -> Tink:
    """Tink, imported on first use: it costs 20 MB in every process that has it, and most never need it."""
    import tink
    from tink import aead, json_proto_keyset_format, proto_keyset_format, secret_key_access

    aead.register()
    template: Any = aead.aead_key_templates.AES256_GCM  # pyright: ignore[reportUnknownVariableType]
    return Tink(
        error=tink.TinkError,
        new_keyset=lambda: tink.new_keyset_handle(template),
        primitive=lambda handle: handle.primitive(aead.Aead),
        to_json=lambda handle: json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN),
        from_json=lambda text: json_proto_keyset_format.parse(text, secret_key_access.TOKEN),
        wrap=proto_keyset_format.serialize_encrypted,
        unwrap=proto_keyset_format.parse_encrypted,
    )


class InstallationKey:
    """The keyset in the key file, as this process last read it. Safe among threads and processes."""

    def __init__(self, keyfile: Path) -> None:
        self.keyfile = keyfile
        self._text: bytes | None = None
        self._primitive: Aead | None = None
        self._lock = threading.Lock()

    def primitive(self) -> Aead:
        """The keyset's AEAD: encrypts with the primary key, decrypts with any. Makes the file on first use.

        Raises UnableToOpen if the file cannot be read, is open to others, or is no keyset.
        """
        with self._lock:
            return self._load() if self._primitive is None else self._primitive

    def reload(self) -> bool:
        """Read the file again; whether it changed, because another process rotated it."""
        with self._lock:
            before = self._text
            self._load()
            return self._text != before

    def rotate(self) -> None:
        """Add a new primary key to the file. The earlier ones stay, to open what they wrapped."""
        self.primitive()  # a first start makes the file
        with self._locked_file():
            keyset = orjson.loads(self._read())
            taken = {key["keyId"] for key in keyset["key"]}
            added = _new_keyset()
            while added["primaryKeyId"] in taken:
                added = _new_keyset()
            keys = [*added["key"], *keyset["key"]]
            self._replace({"primaryKeyId": added["primaryKeyId"], "key": keys})
        self.reload()

    def newest(self) -> Aead:
        """The primary key alone: opens only what was wrapped since the last rotation."""
        return load_tink().primitive(_parsed(_only_primary(orjson.loads(self._read()))))

    def retire(self) -> None:
        """Drop every key but the primary. What only an earlier one can open is lost with it."""
        with self._locked_file():
            self._replace(_only_primary(orjson.loads(self._read())))
        self.reload()

    def _load(self) -> Aead:
        if not self.keyfile.exists():
            with suppress(FileExistsError):  # another process was first; its key is as good
                self._create()
        text = self._read()
        if self._primitive is None or text != self._text:
            try:
                self._primitive = load_tink().primitive(_parsed(orjson.loads(text)))
            except (load_tink().error, orjson.JSONDecodeError):
                raise UnableToOpen(f"{self.keyfile} is no keyset: restore it from a backup") from None
            self._text = text
        return self._primitive

    def _read(self) -> bytes:
        try:
            with self.keyfile.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                if mode & 0o077:
                    raise UnableToOpen(f"{self.keyfile} is open to others (mode {mode:04o}): chmod 600 it")
                return file.read()
        except OSError as error:
            why = error.strerror
            raise UnableToOpen(f"cannot read the installation's key {self.keyfile}: {why}") from error

    def _create(self) -> None:
        # a link appears whole or not at all, and fails if another process was first
        whole = self._write_beside(_new_keyset())
        try:
            os.link(whole, self.keyfile)
        finally:
            whole.unlink()
        _sync_folder(self.keyfile.parent)

    def _replace(self, keyset: dict[str, Any]) -> None:
        self._write_beside(keyset).replace(self.keyfile)
        _sync_folder(self.keyfile.parent)

    def _write_beside(self, keyset: dict[str, Any]) -> Path:
        self.keyfile.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self.keyfile.with_name(f".{self.keyfile.name}.{os.getpid()}.{threading.get_ident()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(keyset))
            file.flush()
            os.fsync(file.fileno())
        return beside

    @contextmanager
    def _locked_file(self) -> Generator[None]:
        # a lock of its own: the key file itself is replaced, and a lock on it would stay with the old one
        lock = self.keyfile.with_name(f"{self.keyfile.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _new_keyset() -> dict[str, Any]:
    return orjson.loads(load_tink().to_json(load_tink().new_keyset()))


def _parsed(keyset: dict[str, Any]) -> Any:
    return load_tink().from_json(orjson.dumps(keyset).decode())


def _only_primary(keyset: dict[str, Any]) -> dict[str, Any]:
    primary = keyset["primaryKeyId"]
    return {"primaryKeyId": primary, "key": [key for key in keyset["key"] if key["keyId"] == primary]}


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
