"""Structure-aware mutations of request bodies: values, keys and nesting of JSON, then bytes. Shared by both fuzzers."""

import json
import random
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

Path: TypeAlias = tuple[str | int, ...]

STRANGE: Final[tuple[Any, ...]] = (
    None,
    True,
    [],
    {},
    "",
    "\0",
    "\ud83d\ude00",
    "x" * 300,
    0,
    -0.0,
    1.5,
    1e308,
    2**63,
    -(2**63) - 1,
    2**64,
    10**400,
    "9" * 5_000,
    "-",
    "--1",
    "1,2",
    "٣",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "9999-12-31T23:59:59.999999999-23:59",
    "2026-10-01T12:00:00.Z",
    "2026-02-30T00:00:00Z",
    "00000000000000000000000000",
    "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
    "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
    "ffffffff-ffff-7fff-bfff-ffffffffffff",
    "00000000-0000-7000-8000-000000000000",
    "ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ",
    "projects/",
    "projects/web",
    "application/xml",
)
"""What makes parsers, columns and bounds stumble."""

RAW: Final[tuple[bytes, ...]] = (
    b"9" * 5_000,
    b"1e400",
    b"-0",
    b"1.0000000000000000000001",
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\xff"',
    b"NaN",
    b"[" * 1_500 + b"]" * 1_500,
    b'{"a":1,"a":2}',
    b"\xef\xbb\xbf",
)
"""JSON that json.dumps does not write, and what is none."""

_MARK: Final = "\ue000"


def mutate(body: bytes, chance: random.Random) -> bytes:
    """A body that differs from this one in a few places."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        body = chance.choice(_MUTATIONS)(body, chance)
    return body


def _in_json(change: Callable[[Any, Path, random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    def changed(body: bytes, chance: random.Random) -> bytes:
        try:
            value: Any = json.loads(body)
        except (ValueError, RecursionError):
            return _flip(body, chance)
        places = list(_paths(value))
        if not places:
            return _flip(body, chance)
        change(value, chance.choice(places), chance)
        return json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")

    return changed


def _paths(value: Any, above: Path = ()) -> list[Path]:
    found: list[Path] = []
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            found += [(*above, key), *_paths(item, (*above, key))]
    elif isinstance(value, list):
        for place, item in enumerate(cast("list[Any]", value)):
            found += [(*above, place), *_paths(item, (*above, place))]
    return found


def _holder(value: Any, path: Path) -> Any:
    for step in path[:-1]:
        value = value[step]
    return value


def _replace(value: Any, path: Path, chance: random.Random) -> None:
    _holder(value, path)[path[-1]] = chance.choice(STRANGE)


def _remove(value: Any, path: Path, chance: random.Random) -> None:
    del _holder(value, path)[path[-1]]


def _repeat(value: Any, path: Path, chance: random.Random) -> None:
    holder = _holder(value, path)
    if isinstance(holder, list):
        items = cast("list[Any]", holder)
        items.insert(chance.randrange(len(items) + 1), items[cast("int", path[-1])])
    else:
        holder[chance.choice(("id", "data", "value", "x" * 2_000, "\0", "dimensions"))] = holder[path[-1]]


def _grow(value: Any, path: Path, chance: random.Random) -> None:
    _holder(value, path)[path[-1]] = {
        f"{chance.random()}"[:6]: f"v{n}" for n in range(chance.choice((1, 33, 400)))
    }


def _mark(value: Any, path: Path, chance: random.Random) -> None:
    _holder(value, path)[path[-1]] = _MARK


def _raw(body: bytes, chance: random.Random) -> bytes:
    marked = _in_json(_mark)(body, chance)
    text = chance.choice(RAW)
    for mark in (json.dumps(_MARK).encode(), json.dumps(_MARK, ensure_ascii=False).encode()):
        marked = marked.replace(mark, text)
    return marked


def _flip(body: bytes, chance: random.Random) -> bytes:
    if not body:
        return bytes([chance.randrange(256)])
    changed = bytearray(body)
    changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _cut(body: bytes, chance: random.Random) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _splice(body: bytes, chance: random.Random) -> bytes:
    place, length = chance.randrange(len(body) + 1), chance.randrange(64)
    return body[:place] + body[place // 2 : place // 2 + length] + body[place:]


_MUTATIONS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    _in_json(_replace),
    _in_json(_replace),
    _in_json(_remove),
    _in_json(_repeat),
    _in_json(_grow),
    _raw,
    _raw,
    _flip,
    _cut,
    _splice,
)
