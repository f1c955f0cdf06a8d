"""The process that writes PDFs: a document on standard input, its PDF on standard output, one after the other.

A process of its own because the renderer keeps what it laid out for its last documents, and its memory with it: whoever
started this one ends it after some documents, and the memory is free again. It is started with
`python -m milo_billing.adapters.printing_process NICE [FONTS_DIR]`, ends when its input ends, so with whoever started
it, and when it was not asked for IDLE_S. NICE, from 0 to 19, is how far it lets others go first.

A message is its length in 8 bytes and a pickle: both ends are this program, and nobody else has the pipes.
"""

import os
import pickle
import select
import sys
from pathlib import Path
from typing import IO, Any, Final

import structlog

from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.invoicing.types.errors import UnableToRender

IDLE_S: Final = 60
_LENGTH_BYTES: Final = 8


def send(pipe: IO[bytes], message: Any) -> None:
    """Write one message. Raises BrokenPipeError where nobody reads."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Read one message; None where the other end has closed, also amid one."""
    length = pipe.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    size = int.from_bytes(length, "big")
    body = pipe.read(size)
    return pickle.loads(body) if len(body) == size else None


def main() -> None:
    """Answer until the input ends, or nobody has asked for long."""
    # what is logged goes where errors go: the output is for answers
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    os.nice(int(sys.argv[1]))
    writer = TypstDocuments(fonts_dir=Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while select.select([requests], [], [], IDLE_S)[0]:
        asked = receive(requests)
        if asked is None:
            return
        document, attached = asked
        try:
            answer: Any = writer.write(document, attached=attached)
        except UnableToRender as error:
            answer = str(error)
        send(answers, answer)


if __name__ == "__main__":
    main()
