"""Out of which money of an account a transfer back to the customer is paid. Pure."""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from milo_billing.kernel.errors import Conflict
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH, AccountName
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


def choose_source(
    wanted: TransferRequest, free: Sequence[tuple[str, AccountName, Money]]
) -> tuple[str, TransferSource, Money]:
    """Which issuer pays, out of which money of the account, and how much: all of it where nothing was said.

    `free` is what the account has that pays nothing yet, by issuer and ledger account. One transfer takes from one of
    them, of what is unapplied first. Raises UnableToTransfer where it has less, where several issuers could pay and
    none is said, or where all that it has is in another currency than euro.
    """
    name = "/".join(wanted.account)
    here = [one for one in free if wanted.issuer in ("", one[0])]
    euros = {(entity, account): has for entity, account, has in here if has.currency == CURRENCY}
    found: dict[str, tuple[TransferSource, Money]] = {}
    for source, account in reversed(SOURCES.items()):
        for (entity, held), has in euros.items():
            amount = has if wanted.minor is None else Money(wanted.minor, CURRENCY)
            if held == account and amount.minor <= has.minor:
                found[entity] = (source, amount)
    if len(found) == 1:
        ((entity, (source, amount)),) = found.items()
        return entity, source, amount
    if found:
        raise UnableToTransfer(
            f"account {name} has that much with {' and with '.join(sorted(found))}: say which issuer pays it back"
        )
    if here and not euros:
        has = " and ".join(str(money) for _, _, money in here)
        raise UnableToTransfer(
            f"account {name} has {has}, and a SEPA transfer carries euro only: refund the payment where a provider of "
            "payments took it (milo-billing payments refund), or leave it to pay the next invoices"
        )
    raise UnableToTransfer(_too_little(wanted, euros))


def _too_little(wanted: TransferRequest, euros: dict[tuple[str, AccountName], Money]) -> str:
    zero = Money(0, CURRENCY)
    entities = sorted({entity for entity, _ in euros}) or [wanted.issuer]
    held = ", ".join(
        f"{euros.get((entity, UNAPPLIED_CASH), zero)} unapplied and {euros.get((entity, MONEY_ON_ACCOUNT), zero)} on "
        "account" + (f" with {entity}" if entity else "")
        for entity in entities
    )
    asked = "nothing" if wanted.minor is None else f"less than {Money(wanted.minor, CURRENCY)} in either"
    return (
        f"account {'/'.join(wanted.account)} has {held}, {asked}: ask for no more than one of them has, or issue a "
        "credit note first"
    )
