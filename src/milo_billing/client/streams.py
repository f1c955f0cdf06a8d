"""Manifests read from a file one by one, however many it holds: YAML documents, JSON lines, a JSON array or a List.

Owns: telling the formats apart and reading them piece by piece. Not: what a manifest must have (manifests), sending
(bulk). Memory is that of one document; only a `kind: List`, one document itself, is read whole.
"""

import codecs
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import orjson
import yaml

from milo_billing.client.errors import UnableToReadManifest
from milo_billing.client.manifests import Manifest, list_files, take_apart

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Located:
    """One manifest, and where it stands: `accounts.yaml, document 3`. `read_bytes`: how far its file was read."""

    where: str
    manifest: Manifest
    read_bytes: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document that is no manifest, or the rest of a file that cannot be read; `error` names it."""

    error: UnableToReadManifest
    read_bytes: int


class _YamlLoader(yaml.CSafeLoader):
    """YAML as JSON would have it: a timestamp stays the text it is."""


_YamlLoader.add_constructor(
    "tag:yaml.org,2002:timestamp", lambda _, node: cast("yaml.ScalarNode", node).value
)


class _Counted:
    """A file of which something was read already, and that counts what is read."""

    def __init__(self, begun: bytes, file: IO[bytes]) -> None:
        self._begun, self._file = begun, file
        self.read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        if self._begun:
            part, self._begun = self._begun, b""
        else:
            part = self._file.read(size)
        self.read_bytes += len(part)
        return part

    def lines(self) -> Iterator[bytes]:
        for line in itertools.chain([self._begun], self._file):
            self.read_bytes += len(line)
            yield line


def read_stream(file: IO[bytes], *, where: str) -> Iterator[Located | Unreadable]:
    """Every manifest of an open file, as it is read."""
    first = file.readline()
    while first and not first.strip():
        first = file.readline()
    counted = _Counted(first, file)
    number = 0
    try:
        for document in _documents(counted, first):
            number += 1
            if document is None:
                continue
            named = f"{where}, document {number}"
            try:
                for placed, manifest in take_apart(document, where=named):
                    yield Located(placed, manifest, counted.read_bytes)
            except UnableToReadManifest as error:
                yield Unreadable(error, counted.read_bytes)
    except (yaml.YAMLError, ValueError) as error:
        wrong = UnableToReadManifest(
            f"This is neither YAML nor JSON: {error}", where=f"{where}, document {number + 1}"
        )
        yield Unreadable(wrong, counted.read_bytes)
    except OSError as error:
        wrong = UnableToReadManifest(f"It cannot be read: {error.strerror}", where=where)
        yield Unreadable(wrong, counted.read_bytes)


def read_file(file: Path) -> Iterator[Located | Unreadable]:
    """The manifests of one file."""
    try:
        with file.open("rb") as opened:
            yield from read_stream(opened, where=str(file))
    except OSError as error:
        wrong = UnableToReadManifest(f"It cannot be read: {error.strerror}", where=str(file))
        yield Unreadable(wrong, 0)


def _documents(file: _Counted, first: bytes) -> Iterator[object]:
    match first.lstrip()[:1]:
        case b"{" if _is_json(first):
            return (orjson.loads(line) for line in file.lines() if line.strip())
        case b"[":
            return _array(file)
        case b"{":
            return _whole(file)
        case _:
            return _yaml(cast("IO[bytes]", file))


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _yaml(source: IO[bytes] | bytes) -> Iterator[object]:
    return cast("Iterator[object]", yaml.load_all(source, Loader=_YamlLoader))


def _whole(file: _Counted) -> Iterator[object]:
    """One JSON document over several lines, or YAML that begins like one."""
    parts: list[bytes] = []
    while part := file.read(CHUNK_BYTES):
        parts.append(part)
    content = b"".join(parts)
    try:
        return iter([orjson.loads(content)])
    except orjson.JSONDecodeError:
        return _yaml(content)


def _array(file: _Counted) -> Iterator[object]:
    """The items of a JSON array, each as soon as it has been read. Raises ValueError where it is none."""
    decoder = json.JSONDecoder()
    text = _Text(file)
    text.skip("[")
    if text.starts("]"):
        text.skip("]")
    else:
        while True:
            yield text.value(decoder)
            if not text.starts(","):
                break
            text.skip(",")
        text.skip("]")
    if text.rest():
        raise ValueError("something follows the end of the array")


class _Text:
    """The unread text of a file, read on as it is needed."""

    def __init__(self, file: _Counted) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def _more(self) -> bool:
        part = self._file.read(CHUNK_BYTES)
        self._text = self._text[self._at :] + self._decoder.decode(part, final=not part)
        self._at = 0
        return bool(part)

    def rest(self) -> bool:
        """Whether anything but blanks is left."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return True
            if not self._more():
                return False

    def starts(self, mark: str) -> bool:
        return self.rest() and self._text[self._at] == mark

    def skip(self, mark: str) -> None:
        if not self.starts(mark):
            raise ValueError(f"{mark!r} is missing in the array")
        self._at += 1

    def value(self, decoder: json.JSONDecoder) -> Any:
        self.rest()
        while True:
            try:
                found, end = decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                # it may go on in what has not been read yet
                if not self._more():
                    raise
                continue
            self._at = end
            return found


def count_bytes(paths: Iterable[Path]) -> int | None:
    """How many bytes these files and folders hold; None where that cannot be known."""
    try:
        return sum(file.stat().st_size for path in paths for file in list_files(path))
    except OSError:
        return None
