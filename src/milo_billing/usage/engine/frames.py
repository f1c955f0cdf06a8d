"""Values between two processes of one machine: pickled, with their arrays and bodies beside the pickle, not in it.

Only for a socket pair whose other end this process has made: a pickle of anybody else is never read.
"""

import pickle
import socket
import struct
from typing import Any, Final

_COUNT: Final = struct.Struct("<Q")
_ALIGNED: Final = 16
"""Arrays begin at multiples of it, as numpy likes them."""


def send(line: socket.socket, value: object) -> None:
    """Send the value; `pickle.PickleBuffer`s and arrays in it go without being copied into the pickle."""
    chunks: list[Any] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=chunks.append)
    chunks = [pickled, *(chunk.raw() for chunk in chunks)]
    sizes = [len(chunk) for chunk in chunks]
    parts = [_COUNT.pack(len(sizes)), struct.pack(f"<{len(sizes)}Q", *sizes)]
    for chunk, size in zip(chunks, sizes, strict=True):
        parts += (chunk, bytes(_padding(size)))
    line.sendall(b"".join(parts))


def receive(line: socket.socket) -> Any:
    """The next value. Its arrays lie in one piece of memory that they share. Raises EOFError where there is none."""
    (count,) = _COUNT.unpack(_read(line, _COUNT.size))
    sizes: tuple[int, ...] = struct.unpack(f"<{count}Q", _read(line, 8 * count))
    whole = _read(line, sum(size + _padding(size) for size in sizes))
    chunks: list[memoryview] = []
    start = 0
    for size in sizes:
        chunks.append(whole[start : start + size])
        start += size + _padding(size)
    pickled, *buffers = chunks
    return pickle.loads(pickled, buffers=buffers)


def _padding(size: int) -> int:
    return -size % _ALIGNED


def _read(line: socket.socket, size: int) -> memoryview:
    held = memoryview(bytearray(size))
    read = 0
    while read < size:
        got = line.recv_into(held[read:])
        if not got:
            raise EOFError("the other process has ended")
        read += got
    return held
