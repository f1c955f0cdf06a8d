"""The package mock-bank as a bank on the other side, in a process of its own: its files are written by nobody here."""

import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

ACME_IBAN = "NL41MOCK0000000001"
"""The account that mock-bank holds for its customer ACME."""


@dataclass(frozen=True)
class MockBank:
    """A bank whose clock the test moves."""

    http: httpx.Client

    def account(self) -> dict[str, Any]:
        return self._json("GET", "/_mock/accounts/ACME")

    def credit(self, amount_minor: int, note: str = "", **told: Any) -> None:
        """Have money arrive in the account of ACME."""
        body = {"account": "ACME", "amount": amount_minor, **({"note": note} if note else {}), **told}
        self._json("POST", "/_mock/credits", json=body)

    def behave(self, behaviour: str, **parameters: Any) -> None:
        self._json("PATCH", "/_mock/accounts/ACME", json={"behaviour": behaviour, "parameters": parameters})

    def advance(self, days: int = 1) -> None:
        self._json("POST", "/_mock/advance", params={"days": days})

    def send(self, content: bytes) -> dict[str, Any]:
        """Hand in a payment file."""
        answer = self.http.post("/payments", content=content, headers={"Content-Type": "application/xml"})
        return {"status": answer.status_code, **answer.json()}

    def refuse(self, end_to_end_id: str, reason: str) -> None:
        """The debtor's bank sends a collection back."""
        self._json("POST", f"/_mock/collections/{end_to_end_id}/refuse", json={"reason": reason})

    def messages(self, type: str) -> list[bytes]:
        """What the bank has sent to ACME and nobody has collected, oldest first."""
        answer = self.http.get("/_mock/mailbox", params={"raw": "1", "type": type})
        answer.raise_for_status()
        parts = [part.strip() for part in re.split(r"(?=<\?xml )", answer.text)]
        return [part.encode() for part in parts if ACME_IBAN in part]

    def _json(self, method: str, path: str, **sent: Any) -> Any:
        answer = self.http.request(method, path, **sent)
        assert answer.is_success, answer.text
        return answer.json()


@contextmanager
def mock_bank(clock: str = "2026-11-02T09:00") -> Generator[MockBank]:
    """A bank with the four accounts that it starts with, at this time by its clock."""
    command = [sys.executable, "-m", "mockbank", "--port", "0", "--clock", clock]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            with httpx.Client(base_url=_address(process), timeout=30) as http:
                yield MockBank(http)
        finally:
            process.terminate()
            process.wait(timeout=10)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"http://127\.0\.0\.1:[0-9]+", line):
            return found[0]
    raise AssertionError(f"mock-bank did not start: {''.join(said)}")
