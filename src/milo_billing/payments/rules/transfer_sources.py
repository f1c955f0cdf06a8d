"""Out of which money of an account a transfer back to the customer is paid. Pure."""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from milo_billing.kernel.errors import Conflict
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH, AccountName, Kept
from milo_billing.payments.rules.mandates import CURRENCY
from milo_billing.payments.rules.transfer_requests import TransferRequest

TransferSource: TypeAlias = Literal["UnappliedCash", "MoneyOnAccount"]
"""Out of which of the account's money."""

SOURCES: Final[dict[TransferSource, AccountName]] = {
    "UnappliedCash": UNAPPLIED_CASH,
    "MoneyOnAccount": MONEY_ON_ACCOUNT,
}


class UnableToTransfer(Conflict):
    """Money cannot go back as was asked. The message says why, and what to do."""


def choose_source(wanted: TransferRequest, kept: Sequence[Kept]) -> tuple[str, TransferSource, Money]:
    """Which issuer pays, out of which money of the account, and how much: all of it where nothing was said.

    `kept` is what the account has that pays nothing yet, by issuer. One transfer takes from one ledger account, of what
    is unapplied first. Raises UnableToTransfer where it has less there, or less in all, where several issuers could pay
    and none is said, or where all that it has is in another currency than euro.
    """
    name = "/".join(wanted.account)
    here = [one for one in kept if wanted.issuer in ("", one.entity)]
    euros = [one for one in here if one.total.currency == CURRENCY]
    found: dict[str, tuple[TransferSource, Money]] = {}
    for one in euros:
        for source, account in reversed(SOURCES.items()):
            has = one.free(account)
            amount = has if wanted.minor is None else Money(wanted.minor, CURRENCY)
            if has and amount <= has:
                found[one.entity] = (source, amount)
    if len(found) == 1:
        ((entity, (source, amount)),) = found.items()
        return entity, source, amount
    if found:
        raise UnableToTransfer(
            f"account {name} has that much with {' and with '.join(sorted(found))}: say which issuer pays it back"
        )
    foreign = [one.total for one in here if one.total.minor > 0]
    if foreign and not euros:
        raise UnableToTransfer(
            f"account {name} has {' and '.join(str(one) for one in foreign)}, and a SEPA transfer carries euro only: "
            "refund the payment where a provider of payments took it (milo-billing payments refund), or leave it to "
            "pay the next invoices"
        )
    raise UnableToTransfer(_too_little(wanted, euros))


def _too_little(wanted: TransferRequest, euros: Sequence[Kept]) -> str:
    zero = Money(0, CURRENCY)
    known = sorted(euros, key=lambda one: one.entity) or [Kept(wanted.issuer, zero, zero)]
    held = ", ".join(
        f"{one.unapplied} unapplied and {one.on_account} on account"
        + (f" with {one.entity}" if one.entity else "")
        + (f", {one.total} in all" if min(one.unapplied, one.on_account) < zero else "")
        for one in known
    )
    asked = "nothing" if wanted.minor is None else f"less than {Money(wanted.minor, CURRENCY)} in either"
    return (
        f"account {'/'.join(wanted.account)} has {held}, {asked}: ask for no more than one of them has, or issue a "
        "credit note first"
    )
