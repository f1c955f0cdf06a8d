"""Stripe's HTTP in front of the hostile provider: for real servers, which reach a provider only over the network.

It speaks as much of Stripe as the adapter asks of it for cards, keeps answers by Idempotency-Key as Stripe documents
it, and drops connections where the provider loses a request or an answer. What was charged is the provider's to say.
"""

import contextlib
import json
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from typing_extensions import override

from milo_billing.kernel.money import Money
from milo_billing.payments.types import Declined, PaymentRequest, PaymentResult, Succeeded, Unknown
from tests.hostile_provider import HostileProvider

Json = dict[str, Any]


@dataclass
class StripeDoor:
    """`wrong` is what no client of Stripe's may ask: the same key with something else, a path that there is not."""

    provider: HostileProvider
    url: str = ""
    wrong: list[str] = field(default_factory=list[str])

    def answer(self, method: str, target: str, form: dict[str, str], key: str) -> tuple[int, Json] | None:
        """The status and body; None where the connection breaks instead."""
        parts = urlsplit(target)
        match method, parts.path.removeprefix("/v1/").split("/"):
            case "POST", ["customers"]:
                return 200, {"id": f"cus_{form['metadata[milo_account]']}", "object": "customer"}
            case "GET", ["payment_methods", name]:
                return 200, _card(name, customer=None)
            case "POST", ["payment_methods", name, "attach"]:
                return 200, _card(name, customer=form["customer"])
            case "POST", ["payment_intents"]:
                request = _request(form, key)
                return self._created(request, self.provider.create_payment(request))
            case "GET", ["payment_intents"]:
                return self._listed(parse_qs(parts.query)["customer"][0])
            case "GET", ["payment_intents", reference]:
                return self._found(reference)
            case _:
                raise AssertionError(f"nobody asks Stripe to {method} {target}")

    def _created(self, request: PaymentRequest, result: PaymentResult) -> tuple[int, Json] | None:
        if isinstance(result, Unknown):
            return None
        intent = _intent(request, result)
        if isinstance(result, Declined):
            said = {"type": "card_error", "code": "card_declined", "decline_code": result.code}
            return 402, {"error": {**said, "message": result.message, "payment_intent": intent}}
        return 200, intent

    def _listed(self, customer: str) -> tuple[int, Json] | None:
        found = [one for one in list(self.provider.charges) if one.request.customer == customer]
        newest_first = [_intent(one.request, one.result) for one in reversed(found)]
        return 200, {"object": "list", "data": newest_first, "has_more": False}

    def _found(self, reference: str) -> tuple[int, Json] | None:
        if isinstance(self.provider.get_payment(reference), Unknown):
            return None
        charge = next(one for one in list(self.provider.charges) if one.reference == reference)
        return 200, _intent(charge.request, charge.result)


def _request(form: dict[str, str], key: str) -> PaymentRequest:
    return PaymentRequest(
        key=key,
        amount=Money(int(form["amount"]), form["currency"].upper()),
        customer=form["customer"],
        method=form["payment_method"],
        method_kind="Card",
        description=form["metadata[invoice]"],
    )


def _intent(request: PaymentRequest, result: PaymentResult) -> Json:
    intent: Json = {
        "id": "" if isinstance(result, Unknown) else result.reference,
        "object": "payment_intent",
        "status": "succeeded" if isinstance(result, Succeeded) else "requires_payment_method",
        "amount": request.amount.minor,
        "currency": request.amount.currency.lower(),
        "metadata": {"milo_key": request.key},
    }
    if isinstance(result, Declined):
        intent["last_payment_error"] = {"decline_code": result.code, "message": result.message}
    return intent


def _card(name: str, *, customer: str | None) -> Json:
    card = {"brand": "visa", "last4": "4242", "exp_year": 2030, "exp_month": 8}
    return {"id": name, "object": "payment_method", "type": "card", "card": card, "customer": customer}


@contextlib.contextmanager
def stripe_door(provider: HostileProvider) -> Generator[StripeDoor]:
    """The door on a free port of loopback, until the block ends."""
    door = StripeDoor(provider)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            form = dict(parse_qsl(body.decode()))
            self.close_connection = True
            try:
                found = door.answer(self.command, self.path, form, self.headers.get("Idempotency-Key", ""))
            except (AssertionError, KeyError, ValueError) as error:
                door.wrong.append(repr(error))
                return
            if found is None:
                return
            status, said = found
            content = json.dumps(said).encode()
            with contextlib.suppress(OSError):  # whoever asked was killed meanwhile
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        door.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield door
        finally:
            server.shutdown()
