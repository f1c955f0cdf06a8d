"""The process that prepares beside a gateway: reads groups from its socket, prepares, answers. Ends with the gateway.

Started by `beside`, with the number of its end of the socket pair. It has no database and no settings.
"""

import signal
import socket
import sys
from contextlib import suppress

from milo_billing.infra.clock import random_bits
from milo_billing.usage.engine import decode, frames
from milo_billing.usage.engine.beside import READY, Answered, Asked, Known, Sent
from milo_billing.usage.engine.groups import Request, whole
from milo_billing.usage.engine.knowledge import Knowledge, nothing
from milo_billing.usage.engine.prepare import Preparer


def serve(line: socket.socket) -> None:
    """Prepare what is asked for until the other end closes."""
    preparer = Preparer(random_bits=random_bits)
    knowledge = nothing()
    frames.send(line, READY)
    while True:
        match frames.receive(line):
            case Known() as known:
                knowledge = known.knowledge
            case Asked() as asked:
                frames.send(line, _answer(preparer, knowledge, asked))
            case other:
                raise TypeError(f"nobody sends {type(other).__name__} here")


def _answer(preparer: Preparer, knowledge: Knowledge, asked: Asked) -> Answered | str:
    """What the preparer makes of it, or in a word why it makes nothing of it."""
    preparer.dimensions.mark_stored(asked.stored_dimensions)
    preparer.resources.mark_stored(asked.stored_resources)
    try:
        group = whole([_request(sent) for sent in asked.requests])
        prepared = preparer.prepare(group, knowledge, asked.limits)
    except Exception as error:  # the gateway prepares it itself then, and says what is wrong
        return repr(error)
    return Answered(
        fates=prepared.fates,
        rejected=prepared.rejected,
        rows=prepared.rows,
        followers=prepared.followers,
        new_dimensions=prepared.new_dimensions,
        new_resources=prepared.new_resources,
    )


def _request(sent: Sent) -> Request:
    body = bytes(sent.body)
    batch = decode.decode_event(body) if sent.single else decode.decode_batch(body)
    return Request(
        batch=batch, sender=sent.sender, received_us=sent.received_us, accept_late=sent.accept_late
    )


def main() -> None:
    """Serve the socket whose number is the argument. Signals are for the gateway, which closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as line, suppress(EOFError, ConnectionError):
        serve(line)


if __name__ == "__main__":
    main()
