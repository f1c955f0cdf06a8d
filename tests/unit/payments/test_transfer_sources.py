"""Out of which money of an account a transfer back to the customer is paid."""

import pytest

from milo_billing.kernel.money import Money
from milo_billing.ledger.types import Kept
from milo_billing.payments.rules.transfer_requests import TransferRequest
from milo_billing.payments.rules.transfer_sources import UnableToTransfer, choose_source


def kept(*held: tuple[str, str, int, str]) -> list[Kept]:
    """What each issuer keeps, in the order in which it is named first."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for issuer, what, minor, currency in held:
        found.setdefault((issuer, currency), {})[what] = minor
    return [
        Kept(issuer, Money(has.get("unapplied", 0), currency), Money(has.get("on account", 0), currency))
        for (issuer, currency), has in found.items()
    ]


def asked(minor: int | None, issuer: str = "") -> TransferRequest:
    return TransferRequest(("organization-acme", "main"), minor, "paid twice", "", "", "", issuer)


UNAPPLIED = ("kestrel", "unapplied", 700, "EUR")
KEPT = ("kestrel", "on account", 900, "EUR")
ELSEWHERE = ("merlin", "unapplied", 800, "EUR")


@pytest.mark.parametrize(
    ("held", "minor", "issuer", "expected"),
    [
        ([UNAPPLIED], None, "", ("kestrel", "UnappliedCash", 700)),
        ([UNAPPLIED], 700, "", ("kestrel", "UnappliedCash", 700)),
        ([UNAPPLIED, KEPT], None, "", ("kestrel", "UnappliedCash", 700)),  # what is unapplied first
        ([KEPT, UNAPPLIED], 700, "", ("kestrel", "UnappliedCash", 700)),
        ([UNAPPLIED, KEPT], 701, "", ("kestrel", "MoneyOnAccount", 701)),
        (
            [UNAPPLIED, ELSEWHERE],
            701,
            "",
            ("merlin", "UnappliedCash", 701),
        ),  # one of them alone has that much
        ([UNAPPLIED, ELSEWHERE], None, "kestrel", ("kestrel", "UnappliedCash", 700)),
        ([UNAPPLIED, ("kestrel", "unapplied", 50, "USD")], None, "", ("kestrel", "UnappliedCash", 700)),
        # what is missing elsewhere with the same issuer is not there
        ([("kestrel", "unapplied", -200, "EUR"), KEPT], None, "", ("kestrel", "MoneyOnAccount", 700)),
        ([("kestrel", "on account", -1, "EUR"), UNAPPLIED], 699, "", ("kestrel", "UnappliedCash", 699)),
        ([("merlin", "on account", -900, "EUR"), UNAPPLIED], 700, "", ("kestrel", "UnappliedCash", 700)),
    ],
)
def test_it_is_paid_by_who_holds_it(
    held: list[tuple[str, str, int, str]], minor: int | None, issuer: str, expected: tuple[str, str, int]
) -> None:
    entity, source, amount = choose_source(asked(minor, issuer), kept(*held))
    assert (entity, source, amount.minor, amount.currency) == (*expected, "EUR")


NAME = "account organization-acme/main"
DO = "ask for no more than one of them has, or issue a credit note first"
EURO_ONLY = (
    "and a SEPA transfer carries euro only: refund the payment where a provider of payments took it (milo-billing "
    "payments refund), or leave it to pay the next invoices"
)
NOTHING = f"{NAME} has 0.00 EUR unapplied and 0.00 EUR on account, nothing: {DO}"


@pytest.mark.parametrize(
    ("held", "minor", "issuer", "message"),
    [
        ([], None, "", NOTHING),
        (
            [UNAPPLIED],
            701,
            "",
            f"{NAME} has 7.00 EUR unapplied and 0.00 EUR on account with kestrel, less than 7.01 EUR in either: {DO}",
        ),
        (
            [UNAPPLIED, KEPT],
            901,
            "",
            f"{NAME} has 7.00 EUR unapplied and 9.00 EUR on account with kestrel, less than 9.01 EUR in either: {DO}",
        ),
        (
            [UNAPPLIED],
            None,
            "merlin",
            f"{NAME} has 0.00 EUR unapplied and 0.00 EUR on account with merlin, nothing: {DO}",
        ),
        (
            [ELSEWHERE, UNAPPLIED],
            801,
            "",
            f"{NAME} has 7.00 EUR unapplied and 0.00 EUR on account with kestrel, 8.00 EUR unapplied and 0.00 EUR on "
            f"account with merlin, less than 8.01 EUR in either: {DO}",
        ),
        (
            [UNAPPLIED, ELSEWHERE],
            700,
            "",
            f"{NAME} has that much with kestrel and with merlin: say which issuer pays it back",
        ),
        ([("kestrel", "unapplied", 50, "USD")], None, "", f"{NAME} has 0.50 USD, {EURO_ONLY}"),
        ([("kestrel", "unapplied", 1, "USD")], 50, "", f"{NAME} has 0.01 USD, {EURO_ONLY}"),
        (
            [("kestrel", "unapplied", 50, "USD"), ("merlin", "on account", 5, "GBP")],
            50,
            "",
            f"{NAME} has 0.50 USD and 0.05 GBP, {EURO_ONLY}",
        ),
        # what is missing elsewhere with the same issuer is not there
        (
            [("kestrel", "unapplied", -200, "EUR"), KEPT],
            701,
            "",
            f"{NAME} has -2.00 EUR unapplied and 9.00 EUR on account with kestrel, 7.00 EUR in all, less than 7.01 EUR "
            f"in either: {DO}",
        ),
        (
            [("kestrel", "on account", -900, "EUR"), UNAPPLIED],
            None,
            "",
            f"{NAME} has 7.00 EUR unapplied and -9.00 EUR on account with kestrel, -2.00 EUR in all, nothing: {DO}",
        ),
        ([("kestrel", "unapplied", -50, "USD")], None, "", NOTHING),
        ([("kestrel", "unapplied", -50, "USD"), ("kestrel", "on account", 50, "USD")], None, "", NOTHING),
    ],
)
def test_what_cannot_be_paid_is_refused_with_what_there_is(
    held: list[tuple[str, str, int, str]], minor: int | None, issuer: str, message: str
) -> None:
    with pytest.raises(UnableToTransfer) as refused:
        choose_source(asked(minor, issuer), kept(*held))
    assert str(refused.value) == message
