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


@pytest.mark.parametrize(
    ("held", "minor", "issuer", "message"),
    [
        ([], None, "", "has 0.00 EUR unapplied and 0.00 EUR on account, nothing:"),
        (
            [UNAPPLIED],
            701,
            "",
            "has 7.00 EUR unapplied and 0.00 EUR on account with kestrel, less than 7.01 EUR",
        ),
        (
            [UNAPPLIED, KEPT],
            901,
            "",
            "7.00 EUR unapplied and 9.00 EUR on account with kestrel, less than 9.01",
        ),
        ([UNAPPLIED], None, "merlin", "0.00 EUR on account with merlin, nothing:"),
        ([UNAPPLIED, ELSEWHERE], 700, "", "with kestrel and with merlin: say which issuer"),
        (
            [("kestrel", "unapplied", 50, "USD")],
            None,
            "",
            "has 0.50 USD, and a SEPA transfer carries euro only",
        ),
        ([("kestrel", "unapplied", 50, "USD")], 50, "", "milo-billing payments refund"),
        (
            [("kestrel", "unapplied", -200, "EUR"), KEPT],
            701,
            "",
            "has -2.00 EUR unapplied and 9.00 EUR on account with kestrel, 7.00 EUR in all, less than 7.01 EUR",
        ),
        (
            [("kestrel", "on account", -900, "EUR"), UNAPPLIED],
            None,
            "",
            "has 7.00 EUR unapplied and -9.00 EUR on account with kestrel, -2.00 EUR in all, nothing:",
        ),
        (
            [("kestrel", "unapplied", -50, "USD")],
            None,
            "",
            "has 0.00 EUR unapplied and 0.00 EUR on account, nothing:",
        ),
    ],
)
def test_what_cannot_be_paid_is_refused_with_what_there_is(
    held: list[tuple[str, str, int, str]], minor: int | None, issuer: str, message: str
) -> None:
    with pytest.raises(UnableToTransfer) as refused:
        choose_source(asked(minor, issuer), kept(*held))
    assert message in str(refused.value)
