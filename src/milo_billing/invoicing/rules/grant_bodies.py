"""What clients ask of granted credit and get: an account's balance, and what became of its grants."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from milo_billing.invoicing.rules.grants import Grant, GrantKind, Movement, phase_of
from milo_billing.kernel.bodies import check_text
from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.money import Currency, minor_to_decimal

GRANTS_MAX: Final = 1_000
"""Grants of one account that an answer shows, the newest."""
MOVEMENTS_MAX: Final = 1_000
"""What became of them, the newest, in one answer."""

_KINDS: Final[tuple[GrantKind, ...]] = ("Promotional", "Goodwill", "Prepaid")
"""In the order in which an invoice uses them."""


@dataclass(frozen=True, slots=True)
class CreditsRequest:
    """Whose credit is asked for; `grant` narrows the history to one of them."""

    namespace: str
    account: str
    grant: str | None


def parse_credits(query: Mapping[str, str]) -> CreditsRequest:
    """`?namespace=organization-acme&account=main&grant=welcome`. Raises BadRequest."""
    if unknown := sorted(query.keys() - {"namespace", "account", "grant"}):
        raise BadRequest(f"unknown parameter {unknown[0]!r}: credits have namespace, account and grant")
    namespace, account, grant = query.get("namespace", ""), query.get("account", ""), query.get("grant")
    for name, text in (("namespace", namespace), ("account", account)):
        if not text:
            raise BadRequest(f'parameter "{name}" must be given')
        check_text(text)
    if grant is not None:
        check_text(grant)
    return CreditsRequest(namespace, account, grant)


def balance_body(
    grants: Sequence[Grant],
    *,
    account: str,
    currency: Currency,
    on_account_minor: int,
    unapplied_minor: int,
    now: datetime,
) -> dict[str, Any]:
    """What an invoice that is issued now could use, by kind; and the customer's money that is on account besides."""

    def shown(minor: int) -> str:
        return str(minor_to_decimal(minor, currency))

    usable = {
        kind: sum(one.remaining_minor for one in grants if one.kind == kind and one.holds_at(now))
        for kind in _KINDS
    }
    return {
        "account": account,
        "currencyCode": currency,
        "at": _instant(now),
        "usable": [{"kind": kind, "amount": shown(minor)} for kind, minor in usable.items()],
        "total": shown(sum(usable.values())),
        "moneyOnAccount": shown(on_account_minor),
        "unappliedCash": shown(unapplied_minor),
        "grants": [grant_body(one, now=now) for one in grants],
    }


def grant_body(grant: Grant, *, now: datetime) -> dict[str, Any]:
    """One grant as a balance lists it; amounts are decimal strings."""

    def shown(minor: int) -> str:
        return str(minor_to_decimal(minor, grant.currency))

    return {
        "name": grant.name,
        "kind": grant.kind,
        "phase": phase_of(grant, now=now),
        "granted": shown(grant.amount_minor),
        "remaining": shown(grant.remaining_minor),
        "used": shown(grant.used_minor),
        "expired": shown(grant.expired_minor),
        "revoked": shown(grant.revoked_minor),
        "priority": grant.priority,
        "effectiveFrom": _instant(grant.effective_from),
        "expiresAt": None if grant.expires_at is None else _instant(grant.expires_at),
        "reason": grant.reason,
    }


def history_body(moved: Iterable[tuple[str, Movement]], *, currency: Currency) -> dict[str, Any]:
    """What became of grants, given with their names; amounts by which what is left rose or fell."""
    return {
        "currencyCode": currency,
        "items": [
            {
                "grant": name,
                "step": one.step,
                "at": _instant(one.at),
                "kind": one.kind,
                "amount": str(minor_to_decimal(one.amount_minor, currency)),
                "invoice": one.invoice,
                "posted": one.posted,
                "reason": one.reason,
            }
            for name, one in moved
        ],
    }


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
