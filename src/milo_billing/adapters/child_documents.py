"""Has PDFs written by processes of their own, and these replaced after some documents: so memory stays what it is.

Owns: those processes, how many there are and how long each lives. Not: what they write (typst_documents).
"""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

from milo_billing.adapters.einvoices.writing import write_electronic
from milo_billing.adapters.printing_process import receive, send
from milo_billing.invoicing.types.documents import InvoiceDocument, Syntax, WrittenDocument
from milo_billing.invoicing.types.errors import UnableToRender

_MODULE: Final = "milo_billing.adapters.printing_process"
_PACKAGES: Final = Path(__file__).parents[2]
ANSWER_S: Final = 300
"""A document of 10,000 lines takes half a minute on a busy machine."""

DOCUMENTS_MAX: Final = 500
"""A process ends after so many: starting another costs as much as five documents."""


class ChildDocuments:
    """A DocumentWriter. Thread-safe: up to `children` documents are written at a time, others wait for their turn."""

    def __init__(
        self,
        *,
        fonts_dir: Path | None = None,
        children: int | None = None,
        nice: int = 0,
        documents_max: int = DOCUMENTS_MAX,
        answer_s: float = ANSWER_S,
    ) -> None:
        """`children` is one for each processor where nothing is said; `documents_max` a process before it ends.

        `nice`, from 0 to 19, is how far they let others on the machine go first.
        """
        self._arguments = [str(nice), *([] if fonts_dir is None else [str(fonts_dir)])]
        self._documents_max = documents_max
        self._answer_s = answer_s
        self._turns = threading.BoundedSemaphore(children or os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._at_work: set[_Child] = set()

    def write(self, document: InvoiceDocument, *, attached: WrittenDocument | None = None) -> WrittenDocument:
        """The invoice as a PDF; with an invoice in CII attached to it, as Factur-X. Raises UnableToRender."""
        with self._turns:
            # one that had ended for want of work is no failure of the document: so a second try
            answer = self._ask((document, attached)) or self._ask((document, attached))
        if answer is None:
            raise UnableToRender(
                f"invoice {document.number} cannot be printed: the process that writes it gave no answer"
            )
        if isinstance(answer, str):
            raise UnableToRender(answer)
        assert isinstance(answer, WrittenDocument), "the other end is this program"
        return answer

    def write_electronic(self, document: InvoiceDocument, *, syntax: Syntax) -> WrittenDocument:
        """The invoice after EN 16931, as XML: too little work for another process. Raises NoEInvoice."""
        return write_electronic(document, syntax=syntax)

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of the processes that are there."""
        with self._lock:
            return tuple(child.pid for child in (*self._idle, *self._at_work))

    def close(self) -> None:
        """End the processes that are not at work; the others end with their document."""
        with self._lock:
            idle, self._idle, self._documents_max = self._idle, [], 0
        for child in idle:
            child.end()

    def _ask(self, message: Any) -> Any:
        child = self._taken()
        answer = child.ask(message, answer_s=self._answer_s)
        with self._lock:
            self._at_work.discard(child)
            stays = answer is not None and child.documents < self._documents_max
            if stays:
                self._idle.append(child)
        if not stays:
            child.end()
        return answer

    def _taken(self) -> "_Child":
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is None or not child.is_alive():
            if child is not None:
                child.end()
            child = _Child(self._arguments)
        with self._lock:
            self._at_work.add(child)
        return child


class _Child:
    """One process that writes, and how many documents it has written."""

    def __init__(self, arguments: list[str]) -> None:
        self.documents = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_PACKAGES,
        )
        self.pid = self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, message: Any, *, answer_s: float) -> Any:
        """The answer; None where the process ended, or was ended for it did not answer in time."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None, "both are pipes"
        watchdog = threading.Timer(answer_s, self._process.kill)
        watchdog.start()
        try:
            send(stdin, message)
            answer = receive(stdout)
        except BrokenPipeError:
            return None
        finally:
            watchdog.cancel()
        self.documents += 1
        return answer

    def end(self) -> None:
        """Have the process ended, and nothing left of it."""
        self._process.kill()
        self._process.wait()
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None, "both are pipes"
        stdout.close()
        try:
            stdin.close()
        except BrokenPipeError:
            return  # what could not be written was for a process that has ended
