"""Stripe: cards and SEPA direct debit by payment intents, set-up intents and refunds, behind the port of payments.

Stripe's library builds, signs and reads; every call goes out past this server's guard. The library is loaded with the
first class that names it. Amounts go to Stripe in its own smallest units (docs.stripe.com/currencies), which
differ from ISO 4217 for a few currencies; those are refused.

Parameters of a class: `apiBase` (another address than Stripe's), `publishableKey` (for browsers, passed on),
`paymentMethodTypes` (card, sepa_debit). Secrets: apiKey, webhookSecret.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import orjson

from milo_billing.adapters import stripe_payouts
from milo_billing.adapters.outbound import Posted, post
from milo_billing.kernel.addresses import Address, is_outside, is_outside_or_loopback
from milo_billing.kernel.errors import Unavailable
from milo_billing.kernel.money import Money
from milo_billing.payments.types import (
    ActionRequired,
    BankAccountDetails,
    CardDetails,
    Declined,
    Dispute,
    DisputeState,
    MethodAwaiting,
    MethodFailed,
    MethodReady,
    PaymentRequest,
    PaymentResult,
    Payout,
    Processing,
    ProviderConfig,
    ProviderEvent,
    Refunded,
    RefundFailed,
    RefundProcessing,
    RefundRequest,
    RefundResult,
    SetupRequest,
    SetupResult,
    Subject,
    Succeeded,
    UnableToSetUp,
    Unknown,
    UnreadableWebhook,
    WebhookRefused,
)

if TYPE_CHECKING:
    import stripe

API_BASE: Final = "https://api.stripe.com"
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
ANSWER_S_MAX: Final = 60.0
"""Stripe may wait for a bank before it answers."""

SIGNATURE_AGE_S_MAX: Final = 300
"""A webhook that was signed longer ago, or so far ahead, is refused: somebody may have kept it."""

LOOKED_BACK: Final = timedelta(days=1)
"""Clocks differ: what was asked for is looked for from so long before."""

PAGES_MAX: Final = 20

OTHER_UNITS: Final = frozenset({"CLF", "ISK", "MGA", "UGX", "UYI", "UYW"})
"""Currencies whose units at Stripe are not those of ISO 4217, or that it does not charge."""

TENFOLD_UNITS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
"""Currencies with three decimals, of which Stripe takes two: the last digit has to be 0."""

HARD_CODES: Final = frozenset(
    {
        "account_closed",
        "bank_account_closed",
        "bank_account_unusable",
        "debit_not_authorized",
        "expired_card",
        "fraudulent",
        "incorrect_number",
        "invalid_account",
        "invalid_number",
        "lost_card",
        "merchant_blacklist",
        "no_such_customer",
        "payment_method_not_available",
        "pickup_card",
        "resource_missing",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)
"""Declines after which the same method must not be asked again (docs.stripe.com/declines/codes)."""

_SUBJECTS: Final[Mapping[str, Subject]] = {
    "payment_intent": "payment",
    "refund": "refund",
    "setup_intent": "method",
    "dispute": "dispute",
    "payout": "payout",
}
_DISPUTES: Final[Mapping[str, DisputeState]] = {
    "warning_needs_response": "Inquiry",
    "warning_under_review": "Inquiry",
    "warning_closed": "Won",
    "needs_response": "Open",
    "under_review": "Open",
    "won": "Won",
    "prevented": "Won",
    "lost": "Lost",
}
"""docs.stripe.com/api/disputes/object: a warning takes no money, everything else does until it is won."""

Json: TypeAlias = dict[str, Any]
Transport: TypeAlias = Callable[[str, str, Mapping[str, str], bytes], Posted]
"""(method, URL, headers, body) → answer. Raises Unavailable where none comes."""


def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
    """Past the guard: never an address inside."""
    return _send(method, url, headers, body, may_call=is_outside, plain=False)


def send_here_too(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
    """As `send`, and to this machine itself, over http too: for tests and development."""
    return _send(method, url, headers, body, may_call=is_outside_or_loopback, plain=True)


def _send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    may_call: Callable[[Address], bool],
    plain: bool,
) -> Posted:
    return post(
        url,
        body,
        headers=headers,
        head_bytes=ANSWER_BYTES_MAX,
        may_call=may_call,
        plain=plain,
        step_s=ANSWER_S_MAX,
        whole_s=ANSWER_S_MAX,
        method=method,
    )


def connect(config: ProviderConfig, *, transport: Transport = send) -> "StripePayments":
    """A client for a class. Raises UnableToSetUp where a secret is missing or a parameter wrong."""
    unknown = sorted(config.parameters.keys() - {"apiBase", "publishableKey", "paymentMethodTypes"})
    if unknown:
        raise UnableToSetUp(f'payment method class "{config.name}": stripe has no parameter {unknown[0]}')
    for secret in ("apiKey", "webhookSecret"):
        if not config.secrets.get(secret, "").strip():
            raise UnableToSetUp(f'payment method class "{config.name}": the secret {secret} is missing')
    base = config.parameters.get("apiBase", API_BASE).rstrip("/")
    if urlsplit(base).scheme not in (("https",) if transport is send else ("https", "http")):
        raise UnableToSetUp(f'payment method class "{config.name}": apiBase must be an https URL')
    types = tuple(part.strip() for part in config.parameters.get("paymentMethodTypes", "card").split(","))
    if not set(types) <= {"card", "sepa_debit"}:
        raise UnableToSetUp(
            f'payment method class "{config.name}": paymentMethodTypes are card and sepa_debit, by commas'
        )
    return StripePayments(
        _client(config.secrets["apiKey"], base, transport), config.secrets["webhookSecret"], types
    )


def _client(key: str, base: str, transport: Transport) -> "stripe.StripeClient":
    import stripe

    class Guarded(stripe.HTTPClient):
        """The library's way out."""

        name = "guarded"

        def request(
            self, method: str, url: str, headers: Any, post_data: Any = None, *, _usage: Any = None
        ) -> tuple[str, int, Mapping[str, str]]:
            body = post_data.encode() if isinstance(post_data, str) else (post_data or b"")
            try:
                answer = transport(method.upper(), url, dict(headers or {}), body)
            except Unavailable as error:
                raise stripe.APIConnectionError(str(error)) from error
            return answer.head.decode(errors="replace"), answer.status, answer.headers

        def close(self) -> None:
            """Nothing is kept open."""

    return stripe.StripeClient(
        key, http_client=Guarded(), base_addresses={"api": base}, max_network_retries=0
    )


class StripePayments:
    """The port of payments over one Stripe account."""

    def __init__(self, client: "stripe.StripeClient", webhook_secret: str, types: tuple[str, ...]) -> None:
        self._client = client
        self._webhook_secret = webhook_secret
        self._types = types

    # -- payments

    def create_payment(self, request: PaymentRequest) -> PaymentResult:
        """A payment intent, confirmed at once, its owner absent."""
        currency = request.amount.currency
        if currency in OTHER_UNITS or (currency in TENFOLD_UNITS and request.amount.minor % 10):
            return Declined("", "amount_not_supported", f"Stripe cannot charge {request.amount}.", hard=True)
        kind = "card" if request.method_kind == "Card" else "sepa_debit"
        answer = self._call(
            "post",
            "/v1/payment_intents",
            idempotency_key=request.key,
            amount=request.amount.minor,
            currency=request.amount.currency.lower(),
            customer=request.customer,
            payment_method=request.method,
            payment_method_types=[kind],
            confirm=True,
            off_session=True,
            metadata={"milo_key": request.key, "invoice": request.description},
        )
        if isinstance(answer, Unknown):
            return answer
        if isinstance(answer, _Refused):
            return answer.declined()
        return _payment(answer)

    def find_payment(self, request: PaymentRequest) -> PaymentResult | None:
        """Among what was charged to the customer since the request was made."""
        return self._found(
            "/v1/payment_intents", request.key, since=request.asked_at, customer=request.customer
        )

    def get_payment(self, reference: str) -> PaymentResult:
        """The payment intent as it stands."""
        answer = self._call("get", f"/v1/payment_intents/{reference}")
        if isinstance(answer, Unknown | _Refused):
            return Unknown(f"payment intent {reference}: {answer}")
        return _payment(answer)

    def _found(self, path: str, key: str, *, since: datetime | None, customer: str) -> PaymentResult | None:
        created = {} if since is None else {"created": {"gte": int((since - LOOKED_BACK).timestamp())}}
        for one in self._listed(path, customer=customer, **created):
            if isinstance(one, Unknown):
                return one
            if _metadata(one).get("milo_key") == key:
                return _payment(one)
        return None

    def _listed(self, path: str, **filters: Any) -> "Iterator[Json | Unknown]":
        """Every object of a list, or Unknown where it does not end."""
        after: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            answer = self._call("get", path, limit=100, **filters, **after)
            if isinstance(answer, Unknown | _Refused):
                yield Unknown(f"{path}: {answer}")
                return
            items = cast("list[Json]", answer.get("data") or [])
            yield from items
            if not items or not answer.get("has_more"):
                return
            after = {"starting_after": str(items[-1]["id"])}
        yield Unknown(f"{path}: more than {PAGES_MAX} pages")

    # -- disputes

    def get_dispute(self, reference: str) -> Dispute | Unknown:
        """The dispute as it stands, with the payment intent that it is about. A returned debit is one, too."""
        answer = self._call("get", f"/v1/disputes/{reference}")
        if isinstance(answer, Unknown | _Refused):
            return Unknown(f"dispute {reference}: {answer}")
        state = _DISPUTES.get(str(answer.get("status")))
        if state is None:
            return Unknown(f"dispute {reference} is {answer.get('status')}")
        intent = answer.get("payment_intent")
        if not intent:
            charge = self._call("get", f"/v1/charges/{answer.get('charge')}")
            if isinstance(charge, Unknown | _Refused):
                return Unknown(f"dispute {reference}: {charge}")
            intent = charge.get("payment_intent") or ""
        amount = Money(int(answer["amount"]), str(answer["currency"]).upper())
        return Dispute(reference, str(intent), amount, state, str(answer.get("reason") or ""))

    # -- payouts

    def get_payout(self, reference: str) -> Payout | Unknown:
        """The payout with its balance transactions, and the end of the bank account that it goes to."""
        answer = self._call("get", f"/v1/payouts/{reference}", expand=["destination"])
        if isinstance(answer, Unknown | _Refused):
            return Unknown(f"payout {reference}: {answer}")
        items: list[Json] = []
        for one in self._listed("/v1/balance_transactions", payout=reference, expand=["data.source"]):
            if isinstance(one, Unknown):
                return one
            if one.get("type") != "payout":  # the payout itself, which takes out what the others brought
                items.append(one)
        return stripe_payouts.payout(answer, items)

    def list_payouts(self, *, since: datetime) -> tuple[str, ...] | Unknown:
        """By when they were made."""
        found: list[str] = []
        for one in self._listed("/v1/payouts", created={"gte": int(since.timestamp())}):
            if isinstance(one, Unknown):
                return one
            found.append(str(one["id"]))
        return tuple(found)

    # -- refunds

    def create_refund(self, request: RefundRequest) -> RefundResult:
        """A part of a payment intent."""
        answer = self._call(
            "post",
            "/v1/refunds",
            idempotency_key=request.key,
            payment_intent=request.payment,
            amount=request.amount.minor,
            metadata={"milo_key": request.key},
        )
        if isinstance(answer, Unknown):
            return answer
        if isinstance(answer, _Refused):
            return RefundFailed("", answer.code, answer.message)
        return _refund(answer)

    def find_refund(self, request: RefundRequest) -> RefundResult | None:
        """Among the refunds of the payment."""
        for one in self._listed("/v1/refunds", payment_intent=request.payment):
            if isinstance(one, Unknown):
                return one
            if _metadata(one).get("milo_key") == request.key:
                return _refund(one)
        return None

    # -- methods

    def set_up_method(self, request: SetupRequest) -> SetupResult:
        """A customer for the account, then a method that is attached to it, or a set-up intent for its owner."""
        customer = request.customer
        if not customer:
            made = self._call(
                "post",
                "/v1/customers",
                idempotency_key=f"customer/{request.account}",
                metadata={"milo_account": request.account},
            )
            if isinstance(made, Unknown):
                return made
            if isinstance(made, _Refused):
                return MethodFailed("", made.code, made.message)
            customer = str(made["id"])
        if request.token:
            return self._attached(customer, request.token, key=request.key)
        return self._set_up(customer, request)

    def _attached(self, customer: str, method: str, *, key: str) -> SetupResult:
        known = self._call("get", f"/v1/payment_methods/{method}")
        if not isinstance(known, Unknown | _Refused) and known.get("customer") == customer:
            return _method(customer, known)
        attached = self._call(
            "post", f"/v1/payment_methods/{method}/attach", idempotency_key=f"{key}/attach", customer=customer
        )
        if isinstance(attached, Unknown):
            return attached
        if isinstance(attached, _Refused):
            return MethodFailed(customer, attached.code, attached.message)
        return _method(customer, attached)

    def _set_up(self, customer: str, request: SetupRequest) -> SetupResult:
        intent: Json | Unknown | _Refused
        if request.reference:
            intent = self._call("get", f"/v1/setup_intents/{request.reference}")
        else:
            intent = self._call(
                "post",
                "/v1/setup_intents",
                idempotency_key=f"{request.key}/setup",
                customer=customer,
                usage="off_session",
                payment_method_types=list(self._types),
                metadata={"milo_key": request.key},
            )
        if isinstance(intent, Unknown):
            return intent
        if isinstance(intent, _Refused):
            return MethodFailed(customer, intent.code, intent.message)
        if intent.get("status") == "succeeded":
            return self._attached(customer, str(intent["payment_method"]), key=request.key)
        if intent.get("status") == "canceled":
            return MethodFailed(customer, "setup_canceled", "The set-up was cancelled.")
        return MethodAwaiting(customer, str(intent["id"]), str(intent.get("client_secret") or ""))

    # -- webhooks

    def parse_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> ProviderEvent:
        """Stripe-Signature, by the library; how long ago, by this server's clock."""
        import stripe

        signature = headers.get("stripe-signature", "")
        try:
            text = body.decode()
            # the age is compared with the instant that the door read, not with the machine's clock
            stripe.WebhookSignature.verify_header(text, signature, self._webhook_secret, tolerance=None)
        except (stripe.SignatureVerificationError, UnicodeDecodeError) as error:
            raise WebhookRefused("the webhook is not signed by Stripe with this class's secret") from error
        signed_s = next(
            (part[2:] for part in signature.split(",") if part.startswith("t=") and part[2:].isdigit()), "0"
        )
        if abs(now.timestamp() - int(signed_s)) > SIGNATURE_AGE_S_MAX:
            raise WebhookRefused(
                f"the webhook was signed more than {SIGNATURE_AGE_S_MAX} seconds away from now"
            )
        try:
            event = cast("Json", orjson.loads(text))
            object = cast("Json", event["data"]["object"])
            subject: Subject = _SUBJECTS.get(str(object.get("object")), "other")
            return ProviderEvent(
                id=str(event["id"]),
                type=str(event["type"]),
                subject=subject,
                reference=str(object.get("id") or ""),
                key=str(_metadata(object).get("milo_key") or ""),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnreadableWebhook(f"the webhook is no event of Stripe: {error!r}") from error

    # -- calls

    def _call(self, method: str, path: str, **params: Any) -> "Json | Unknown | _Refused":
        import stripe

        try:
            return cast("Json", self._client.raw_request(method, path, **params).data)
        except stripe.CardError as error:
            return _Refused.of(error)
        except stripe.InvalidRequestError as error:
            # the same key with other parameters is a defect of ours, and so is what Stripe cannot read
            return _Refused.of(error)
        except stripe.StripeError as error:
            return Unknown(f"Stripe: {type(error).__name__}: {error.user_message or error}")


class _Refused:
    """Stripe's no: why, in its words, and the payment intent that it keeps for it."""

    def __init__(self, *, code: str, message: str, intent: Json | None) -> None:
        self.code = code
        self.message = message
        self.intent = intent

    @classmethod
    def of(cls, error: "stripe.StripeError") -> "_Refused":
        body = cast("Json", cast("Json", error.json_body or {}).get("error") or {})
        code = body.get("decline_code") or body.get("code") or body.get("type") or "refused"
        intent = body.get("payment_intent")
        return cls(
            code=str(code),
            message=str(body.get("message") or error),
            intent=cast("Json", intent) if isinstance(intent, dict) else None,
        )

    def declined(self) -> PaymentResult:
        """What a refusal to charge means."""
        reference = "" if self.intent is None else str(self.intent.get("id") or "")
        if self.code == "authentication_required" and reference:
            return ActionRequired(reference)
        return Declined(reference, self.code, self.message, hard=self.code in HARD_CODES)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def _metadata(object: Json) -> Json:
    found = object.get("metadata")
    return cast("Json", found) if isinstance(found, dict) else {}


def _payment(intent: Json) -> PaymentResult:
    """What a payment intent's status means (docs.stripe.com/payments/paymentintents/lifecycle)."""
    reference, status = str(intent["id"]), intent.get("status")
    if status == "succeeded":
        currency = str(intent["currency"]).upper()
        minor = intent.get("amount_received")
        return Succeeded(reference, Money(int(intent["amount"] if minor is None else minor), currency))
    if status == "processing":
        return Processing(reference)
    if status == "requires_action":
        return ActionRequired(reference)
    if status in ("requires_payment_method", "canceled"):
        found = intent.get("last_payment_error")
        error = cast("Json", found) if isinstance(found, dict) else {}
        code = str(error.get("decline_code") or error.get("code") or status)
        message = str(error.get("message") or f"The payment intent is {status}.")
        return Declined(reference, code, message, hard=code in HARD_CODES)
    return Unknown(f"payment intent {reference} is {status}")


def _refund(refund: Json) -> RefundResult:
    reference, status = str(refund["id"]), refund.get("status")
    if status == "succeeded":
        return Refunded(reference, Money(int(refund["amount"]), str(refund["currency"]).upper()))
    if status in ("pending", "requires_action"):
        return RefundProcessing(reference)
    code = str(refund.get("failure_reason") or status)
    return RefundFailed(reference, code, f"The refund is {status}.")


def _method(customer: str, method: Json) -> SetupResult:
    if method.get("type") == "card":
        card = cast("Json", method["card"])
        expiry = f"{int(card['exp_year']):04}-{int(card['exp_month']):02}"
        return MethodReady(
            customer, str(method["id"]), CardDetails(str(card["brand"]), str(card["last4"]), expiry)
        )
    if method.get("type") == "sepa_debit":
        bank = cast("Json", method["sepa_debit"])
        details = BankAccountDetails(
            last4=str(bank["last4"]),
            bank_name=str(bank.get("bank_code") or ""),
            country=str(bank.get("country") or ""),
        )
        return MethodReady(customer, str(method["id"]), details)
    return MethodFailed(
        customer, "type_not_supported", f"A method of type {method.get('type')} cannot be charged here."
    )
