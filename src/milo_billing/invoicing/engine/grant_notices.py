"""Announce what becomes of granted credit to the channels that want to hear of it."""

from datetime import datetime
from typing import Literal, TypeAlias

from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.grants import Grant
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.notices import operations as notices
from milo_billing.notices.types import Event

GrantEvent: TypeAlias = Literal["credit.used_up", "credit.expiring", "credit.expired"]


def tell_grant(tx: Tx, type: GrantEvent, grant: Grant, *, now: datetime, once: str = "") -> None:
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
        },
        account=f"{grant.namespace}/{grant.account_name}",
    )
    notices.send(tx, None, event=event, now=now)
