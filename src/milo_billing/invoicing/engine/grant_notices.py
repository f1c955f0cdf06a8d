"""Announce what becomes of granted credit to the channels that want to hear of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.grants import Grant
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.notices import operations as notices
from milo_billing.notices.types import Event

GrantEvent: TypeAlias = Literal["credit.used_up", "credit.expiring", "credit.expired", "credit.taken_back"]


def tell_taken_back(tx: Tx, grant: Grant, *, minor: int, reason: str, once: str, now: datetime) -> None:
    """Announce that so much of the grant was taken back, since its money went back."""
    more = {"takenBack": str(minor_to_decimal(minor, grant.currency)), "reason": reason}
    tell_grant(tx, "credit.taken_back", grant, now=now, once=once, more=more)


def tell_grant(
    tx: Tx,
    type: GrantEvent,
    grant: Grant,
    *,
    now: datetime,
    once: str = "",
    more: Mapping[str, str] | None = None,
) -> None:
    """Announce it in the transaction that makes it so; `once` tells apart what may happen to a grant several times."""
    event = Event(
        type=type,
        key=f"credit-grant/{grant.uid}/{type}" + (f"/{once}" if once else ""),
        org=grant.owner_org,
        data={
            "account": {"namespace": grant.namespace, "name": grant.account_name},
            "creditGrant": grant.name,
            "kind": grant.kind,
            "currencyCode": grant.currency,
            "amount": str(minor_to_decimal(grant.amount_minor, grant.currency)),
            "remaining": str(minor_to_decimal(grant.remaining_minor, grant.currency)),
            **({} if grant.expires_at is None else {"expiresAt": f"{grant.expires_at:%Y-%m-%dT%H:%M:%SZ}"}),
            **(more or {}),
        },
        account=f"{grant.namespace}/{grant.account_name}",
    )
    notices.send(tx, None, event=event, now=now)
