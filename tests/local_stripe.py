"""localstripe, a Stripe that somebody else wrote, in a process and an environment of its own (its licence is the GPL).

What it lacks is added on the way to it, as Stripe documents it: answers are kept by Idempotency-Key, and lists take the
filters `customer` and `created`. So the suite shows that our requests and readings are right, not that Stripe
keeps keys. It declines with one code only, and never refuses a refund above the payment; its webhooks are not tried.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from milo_billing.adapters import stripe_payments
from milo_billing.adapters.outbound import Posted, post
from milo_billing.adapters.stripe_payments import StripePayments
from milo_billing.payments.types import ProviderConfig

VERSION: Final = "1.15.10"
START_S_MAX: Final = 180.0
"""The first start installs it."""

WEBHOOK_SECRET: Final = "whsec_test"


@dataclass
class LocalStripe:
    """The running peer, and what Stripe has over it."""

    url: str
    answers: dict[str, Posted] = field(default_factory=dict[str, Posted])

    def provider(self) -> StripePayments:
        secrets = {"apiKey": "sk_test_local", "webhookSecret": WEBHOOK_SECRET}
        config = ProviderConfig("cards", "stripe", {"apiBase": self.url}, secrets)
        return stripe_payments.connect(config, transport=self.send)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        """As Stripe, over this peer."""
        key = next((value for name, value in headers.items() if name.lower() == "idempotency-key"), "")
        if method == "POST" and key in self.answers:
            return self.answers[key]
        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query))
        kept = {name: value for name, value in asked.items() if name != "customer" and "created" not in name}
        answer = post(
            parts._replace(query=urlencode(kept)).geturl(),
            body,
            headers=headers,
            head_bytes=1 << 20,
            plain=True,
            may_call=lambda _: True,
            method=method,
        )
        if "customer" in asked:
            listed = json.loads(answer.head)
            listed["data"] = [one for one in listed["data"] if one["customer"] == asked["customer"]]
            answer = Posted(answer.status, json.dumps(listed).encode(), answer.headers)
        if method == "POST" and key and answer.status < 500:
            self.answers[key] = answer
        return answer

    def card(self, number: str) -> str:
        """A card, entered at the peer as a browser would; its number goes nowhere else."""
        return self._method(
            {
                "type": "card",
                "card[number]": number,
                "card[exp_month]": "8",
                "card[exp_year]": "2030",
                "card[cvc]": "123",
            }
        )

    def sepa_debit(self, iban: str) -> str:
        return self._method(
            {
                "type": "sepa_debit",
                "sepa_debit[iban]": iban,
                "billing_details[email]": "z@example.com",
                "billing_details[name]": "Zoé",
            }
        )

    def _method(self, form: dict[str, str]) -> str:
        answer = httpx.post(
            f"{self.url}/v1/payment_methods", data=form, auth=("sk_test_local", ""), timeout=30
        )
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made["id"]


@contextlib.contextmanager
def running(folder: Path) -> Generator[LocalStripe]:
    """The peer on a free port of loopback, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    log = folder / "localstripe.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [uv, "tool", "run", "--from", f"localstripe=={VERSION}", "localstripe", "--port", str(port)],
            cwd=folder,
            stdout=output,
            stderr=output,
        )
    peer = LocalStripe(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + START_S_MAX
        while not _answers(peer.url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield peer
    finally:
        process.terminate()
        process.wait(timeout=10)


def _answers(url: str) -> bool:
    try:
        httpx.get(f"{url}/v1/customers", auth=("sk_test_local", ""), timeout=2)
    except httpx.TransportError:
        return False
    return True
