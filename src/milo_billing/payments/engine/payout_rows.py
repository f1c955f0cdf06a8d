"""The rows of providers' payouts: each as its provider said last, and what it is made of once it is booked."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, LiteralString, TypeAlias
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import NotFound
from milo_billing.kernel.money import Money
from milo_billing.payments.rules.payouts import NOBODY, Known, Part
from milo_billing.payments.types import Payout, PayoutState

PayoutRowState: TypeAlias = Literal["Noted", "Waiting", "Booked", "Failed"]
"""Noted: not at the bank yet. Waiting: for a person. Failed: it came back to the provider."""


class PayoutNotFound(NotFound):
    """There is no such payout."""


@dataclass(frozen=True, slots=True)
class PayoutRow:
    """A payout as it stands here; `entity` and `booked_at` are None until it was booked."""

    class_uid: UUID
    reference: str
    provider: str
    currency: str
    amount_minor: int
    told: PayoutState
    arrives_on: date
    bank_account: str
    trace: str
    state: PayoutRowState
    reason: str
    detail: str
    entity: str | None
    entry: UUID | None
    noted_at: datetime
    booked_at: datetime | None
    accepted_by: str | None

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


_PAYOUT: Final[LiteralString] = (
    "select class, reference, provider, currency, amount_minor, told, arrives_on, bank_account, trace, state, reason, "
    "detail, entity, entry, noted_at, booked_at, accepted_by from payments.payouts"
)


def find_payout(tx: Tx, *, class_uid: UUID, reference: str) -> PayoutRow | None:
    """The payout that the provider calls so."""
    row = tx.execute(f"{_PAYOUT} where class = %s and reference = %s", (class_uid, reference)).fetchone()
    return None if row is None else PayoutRow(*row)


def list_payouts(tx: Tx, *, limit: int) -> tuple[PayoutRow, ...]:
    """The payouts that were heard of last, the newest first."""
    rows = tx.execute(f"{_PAYOUT} order by noted_at desc, reference desc limit %s", (limit,))
    return tuple(PayoutRow(*row) for row in rows)


def list_expected(tx: Tx, *, currency: str, since: datetime) -> tuple[PayoutRow, ...]:
    """Payouts of which no bank entry is known, and that were heard of since then; the newest first."""
    rows = tx.execute(
        f"{_PAYOUT} where entry is null and currency = %s and state <> 'Failed' and noted_at >= %s "
        "order by noted_at desc, reference",
        (currency, since),
    )
    return tuple(PayoutRow(*row) for row in rows)


def list_unbooked(tx: Tx, *, limit: int) -> tuple[tuple[UUID, str], ...]:
    """(class, reference) of payouts that are not booked yet, the oldest first."""
    rows = tx.execute(
        "select class, reference from payments.payouts where booked_at is null order by noted_at, reference limit %s",
        (limit,),
    )
    return tuple(rows)


def list_settled(tx: Tx, *, class_uid: UUID, references: Collection[str]) -> frozenset[str]:
    """Which of these payouts are booked, with their arrival."""
    rows = tx.execute(
        "select reference from payments.payouts where class = %s and reference = any(%s) and booked_at is not null "
        "and (told = 'Failed' or told = 'Paid')",
        (class_uid, list(references)),
    )
    return frozenset(reference for (reference,) in rows)


def note_payout(tx: Tx, payout: Payout, *, class_uid: UUID, provider: str, now: datetime) -> PayoutRow:
    """Keep what the provider says of the payout now; the row then."""
    tx.execute(
        "insert into payments.payouts (class, reference, owner_org, provider, currency, amount_minor, told, "
        "arrives_on, bank_account, trace, state, reason, detail, noted_at) "
        "values (%s, %s, 0, %s, %s, %s, %s, %s, %s, %s, 'Noted', '', '', %s) on conflict (class, reference) do update "
        "set told = excluded.told, arrives_on = excluded.arrives_on, trace = excluded.trace, "
        "bank_account = case when payouts.booked_at is null then excluded.bank_account else payouts.bank_account end",
        (
            class_uid,
            payout.reference,
            provider,
            payout.amount.currency,
            payout.amount.minor,
            payout.state,
            payout.arrives_on,
            payout.bank_account,
            payout.trace,
            now,
        ),
    )
    found = find_payout(tx, class_uid=class_uid, reference=payout.reference)
    assert found is not None, "it was written above"
    return found


def set_state(
    tx: Tx, row: PayoutRow, *, state: PayoutRowState, reason: str = "", detail: str = ""
) -> PayoutRow:
    """Say what became of it, and why it waits; the row then."""
    tx.execute(
        "update payments.payouts set state = %s, reason = %s, detail = %s where class = %s and reference = %s",
        (state, reason, detail, row.class_uid, row.reference),
    )
    return _again(tx, row)


def set_arrived(tx: Tx, row: PayoutRow, *, entry: UUID) -> PayoutRow:
    """Say by which bank entry it arrived; the row then."""
    tx.execute(
        "update payments.payouts set entry = %s where class = %s and reference = %s",
        (entry, row.class_uid, row.reference),
    )
    return _again(tx, row)


def set_accepted(tx: Tx, row: PayoutRow, *, by: str) -> PayoutRow:
    """Say who wants it booked with what nobody knows; the row then."""
    tx.execute(
        "update payments.payouts set accepted_by = %s where class = %s and reference = %s",
        (by, row.class_uid, row.reference),
    )
    return _again(tx, row)


def set_booked(
    tx: Tx, row: PayoutRow, *, entity: str, bank_account: str, parts: Sequence[Part], now: datetime
) -> PayoutRow:
    """Keep what it is made of, as it stands in the books; the row then."""
    for one in parts:
        known = one.known
        tx.execute(
            "insert into payments.payout_items (class, payout, reference, owner_org, kind, payment, amount_minor, "
            "fee_minor) values (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                row.class_uid,
                row.reference,
                one.item.reference,
                NOBODY if known is None else known.owner_org,
                one.kind,
                None if known is None else known.payment,
                one.item.amount.minor,
                one.item.fee.minor,
            ),
        )
    tx.execute(
        "update payments.payouts set state = 'Booked', reason = '', detail = '', entity = %s, bank_account = %s, "
        "booked_at = %s where class = %s and reference = %s",
        (entity, bank_account, now, row.class_uid, row.reference),
    )
    return _again(tx, row)


def _again(tx: Tx, row: PayoutRow) -> PayoutRow:
    found = find_payout(tx, class_uid=row.class_uid, reference=row.reference)
    assert found is not None, "payouts are never deleted"
    return found


# ------------------------------------------------------------------------------------------ what they are about


def list_known(tx: Tx, *, class_uid: UUID, references: Collection[str]) -> dict[str, Known]:
    """Payments that came in, by the provider's names of them."""
    rows = tx.execute(
        "select a.reference, p.uid, p.entity, p.account, p.owner_org, p.currency from payments.attempts a "
        "join payments.payments p on p.uid = a.payment "
        "where a.reference = any(%s) and a.reference <> '' and a.class = %s and a.state = 'Succeeded'",
        (list(references), class_uid),
    )
    return {reference: Known(*known) for reference, *known in rows}


def list_failed(tx: Tx, *, class_uid: UUID, references: Collection[str]) -> dict[str, str]:
    """In whose books earlier payouts stand that came back, by the provider's names of them."""
    rows = tx.execute(
        "select reference, entity from payments.payouts "
        "where class = %s and reference = any(%s) and state = 'Failed' and entity is not null",
        (class_uid, list(references)),
    )
    return dict(rows.fetchall())
