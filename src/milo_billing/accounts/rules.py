"""Pure decisions about who pays: when an account is ready, when a change of payer takes effect, what may be said.

Messages agree with Milo's own service, word for word where kinds.md names them; each begins as Kubernetes'
`causes[].message` does.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from milo_billing.accounts.types import AccountPhase, PayerInterval
from milo_billing.kernel.errors import FieldError

NET_DAYS_UNGRANTED_MAX = 30
"""Net days that an organization may give itself; more is credit, which only the provider grants."""

REFERRING_TYPES = ("Card", "DirectDebit")
"""Payment profiles that collect by themselves, and so must say from which payment method."""

_INSTANT = timedelta(microseconds=1)
_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+\.[A-Za-z]{2,}", re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


# -------------------------------------------------------------------------------------------------- wording


def invalid(field: str, value: str, message: str) -> FieldError:
    """A value that no one may set."""
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {message}")


def forbidden(field: str, message: str) -> FieldError:
    """A value that stands against the state of something, or that this caller may not set."""
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {message}")


def missing(field: str, value: str) -> FieldError:
    """A reference to something that is not there."""
    return FieldError(field, "FieldValueNotFound", f"Not found: {json.dumps(value)}")


def duplicate(field: str, value: str) -> FieldError:
    """A value that the list has already."""
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {json.dumps(value)}")


# ------------------------------------------------------------------------------------------------- accounts


@dataclass(frozen=True, slots=True)
class Readiness:
    """The phase of an account and the reason and message of its Ready condition."""

    phase: AccountPhase
    reason: str
    message: str

    @property
    def ready(self) -> bool:
        return self.phase == "Ready"


def profile_is_valid(*, type: str | None, has_method: bool) -> bool:
    """Whether a payment profile says enough to collect: a type, and a payment method where the type has one."""
    return type is not None and (type not in REFERRING_TYPES or has_method)


def assess(*, phase: AccountPhase, profile_valid: bool, profile_required: bool) -> Readiness:
    """Where an account stands. Suspended and Archived are left by an action only, never by a profile.

    An account that loses its profile goes back to Provisioning; its bindings stay (domain.md §3).
    """
    if phase in ("Suspended", "Archived"):
        return Readiness(phase, "BillingAccountNotReady", f"Billing account is in {phase} phase.")
    if profile_required and not profile_valid:
        message = "Billing account requires a payment profile to become ready."
        return Readiness("Provisioning", "PaymentProfileMissing", message)
    message = "Billing account is active and ready for project binding."
    return Readiness("Ready", "BillingAccountReady", message)


@dataclass(frozen=True, slots=True)
class Terms:
    """The part of an account's terms that is credit when it is generous."""

    net_days: int
    on_invoice: bool


def credit_asked(terms: Terms, *, before: Terms | None, permission: str) -> tuple[FieldError, ...]:
    """The credit that these terms take and the earlier ones did not: only staff with `permission` may grant it."""
    granted = NET_DAYS_UNGRANTED_MAX if before is None else max(before.net_days, NET_DAYS_UNGRANTED_MAX)
    asked: list[FieldError] = []
    if terms.net_days > granted:
        message = (
            f"more than {granted} net days are for the provider to grant: needs {permission} of the provider"
        )
        asked.append(forbidden("spec.paymentTerms.netDays", message))
    if terms.on_invoice and not (before is not None and before.on_invoice):
        message = f"payment by invoice is for the provider to grant: needs {permission} of the provider"
        asked.append(forbidden("spec.paymentProfile.type", message))
    return tuple(asked)


def email_errors(emails: Sequence[tuple[str, str]]) -> Iterator[FieldError]:
    """What is wrong with e-mail addresses, given as (field path, address). Their form only: nobody is asked."""
    for field, email in emails:
        if not _EMAIL.fullmatch(email):
            yield invalid(field, email, "must be a valid email address")


def duplicates(values: Sequence[tuple[str, str]]) -> Iterator[FieldError]:
    """Every value, given as (field path, value), that stood before."""
    seen: set[str] = set()
    for field, value in values:
        if value in seen:
            yield duplicate(field, value)
        seen.add(value)


# ------------------------------------------------------------------------------------------ change of payer


def parse_instant(text: str) -> datetime | None:
    """An RFC 3339 timestamp with at most microseconds, as an instant in UTC; None where it is not one."""
    if not _TIMESTAMP.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_instant(instant: datetime) -> str:
    """An instant as RFC 3339 with microseconds (Kubernetes' MicroTime), so that intervals touch in what is shown."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def change_instant(*, clock: datetime, last: PayerInterval | None, wanted: datetime | None) -> datetime:
    """When a new payer begins to pay: `wanted` for a first binding, else now, but always after what stands.

    `clock` was read after the fence was held, so no event up to it is attributed any more. One microsecond after
    the last start at the earliest (an interval is never empty), and never before the end of one that was ended.
    """
    if last is None:
        return wanted or clock
    return max(clock, last.starts_at + _INSTANT, last.ends_at or clock)


def end_instant(*, clock: datetime, interval: PayerInterval) -> datetime:
    """When a payer stops paying, because the binding goes and no other takes its place."""
    return max(clock, interval.starts_at + _INSTANT)


@dataclass(frozen=True, slots=True)
class Claim:
    """That an account is to pay for a project of its organization, since `effective_from` or from now on.

    The account is named in `namespace`; `owner_org` is the organization that owns it.
    """

    namespace: str
    account: str
    project: str
    owner_org: int
    effective_from: datetime | None


@dataclass(frozen=True, slots=True)
class Ground:
    """What a claim stands on. `account_phase` None: there is no such account.

    `project_bindable`: it exists and belongs to the organization. `name_was_anothers`: at the instant from which
    the claim is to hold, or after it, an earlier project had the name; usage names its project, so the name's time
    line must not have two.
    """

    account_phase: AccountPhase | None
    account_being_deleted: bool
    billed_until: datetime | None
    project_bindable: bool
    bound_before: bool
    name_was_anothers: bool


def claim_errors(claim: Claim, ground: Ground, *, now: datetime) -> Iterator[FieldError]:
    """Everything in the state of the world that stands against a new binding (domain.md §3)."""
    field = "spec.billingAccountRef.name"
    if ground.account_phase is None:
        yield missing(field, claim.account)
    elif ground.account_being_deleted:
        yield forbidden(field, f'billing account "{claim.account}" is being deleted')
    elif ground.account_phase != "Ready":
        phase = ground.account_phase
        yield forbidden(field, f'billing account "{claim.account}" is not ready (current phase: {phase})')
    if not ground.project_bindable:
        yield missing("spec.projectRef.name", claim.project)
    if claim.effective_from is not None:
        yield from _backdating_errors(claim, ground, effective_from=claim.effective_from, now=now)


def _backdating_errors(
    claim: Claim, ground: Ground, *, effective_from: datetime, now: datetime
) -> Iterator[FieldError]:
    field = "spec.effectiveFrom"
    if effective_from > now:
        yield invalid(field, format_instant(effective_from), "must not be in the future")
    if ground.bound_before:
        message = (
            f'only the first binding of a project can be backdated, and project "{claim.project}" has had one'
        )
        yield forbidden(field, message)
    if ground.name_was_anothers:
        message = f'another project was called "{claim.project}" then; choose an instant after it was deleted'
        yield forbidden(field, message)
    if ground.billed_until is not None and effective_from < ground.billed_until:
        until = format_instant(ground.billed_until)
        message = (
            f'billing account "{claim.account}" has been invoiced up to {until}; choose that instant or later'
        )
        yield forbidden(field, message)
