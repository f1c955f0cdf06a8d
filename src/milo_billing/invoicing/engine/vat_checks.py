"""What a register said of accounts' VAT numbers: the last answer about just the number that an account has counts."""

from datetime import datetime, timedelta
from typing import Final

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account, BillingProfile
from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.rules import vat_numbers
from milo_billing.invoicing.store import declared_rows
from milo_billing.kernel.errors import BadRequest, Conflict
from milo_billing.kernel.taxes import VatAnswer, VatCheck, VatNumber

KEPT: Final = timedelta(days=30)
"""Numbers are withdrawn: after so long the register is asked again."""


def union_number_of(profile: BillingProfile) -> VatNumber | None:
    """The account's VAT number of a member state, None where it has none."""
    return vat_numbers.union_number((one.type, one.value) for one in profile.tax_ids)


def find_vat_number(tx: Tx, vault: Vault, *, account: Account) -> VatNumber | None:
    """The account's VAT number of a member state, None where it has none, or was deleted."""
    if account.deleted_at is not None:
        return None
    return union_number_of(account_reads.get_billing_profile(tx, vault, account=account.number))


def get_vat_number(tx: Tx, vault: Vault, *, account: Account) -> VatNumber:
    """The same. Raises BadRequest where there is none."""
    number = find_vat_number(tx, vault, account=account)
    if number is None:
        raise BadRequest(
            f"{account.namespace}/{account.name} has no VAT number of the European Union: set one in spec.taxIds, of "
            "type eu_vat"
        )
    return number


def find_check(tx: Tx, vault: Vault, *, account: Account, number: VatNumber) -> VatCheck | None:
    """What was last answered, if that was about just this number."""
    check = issuer_reads.find_vat_check(tx, account=account.number)
    if check is None:
        return None
    checked = vault.open(tx, subject=account.uid, ciphertext=check.sealed)
    return check if not isinstance(checked, Erased) and checked == number.text else None


def is_check_due(tx: Tx, vault: Vault, *, account: Account, number: VatNumber, now: datetime) -> bool:
    """Whether nobody has asked about this number, or not for KEPT."""
    check = find_check(tx, vault, account=account, number=number)
    return check is None or check.checked_at + KEPT <= now


def note_check(
    tx: Tx, vault: Vault, *, account: Account, number: VatNumber, answer: VatAnswer, now: datetime
) -> VatCheck:
    """Keep what was answered about the number: from the next invoice on it decides whether tax is taken.

    Raises Conflict where the account has another number by now.
    """
    if get_vat_number(tx, vault, account=account) != number:
        raise Conflict(
            f"the VAT number of {account.namespace}/{account.name} was changed meanwhile: check it again"
        )
    sealed = vault.seal(tx, subject=account.uid, value=number.text, at=now)
    check = VatCheck(sealed, answer.valid, now, answer.source, answer.reference)
    declared_rows.insert_vat_check(tx, account=account.number, owner_org=account.owner_org, check=check)
    return check
