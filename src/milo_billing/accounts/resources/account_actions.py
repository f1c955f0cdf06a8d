"""What people decide about an account: suspend, reactivate, archive; as an action, or as a write of its status."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, get_args

from milo_billing.accounts.ports import OpenInterest
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.reads import tree as tree_reads
from milo_billing.accounts.resources.account_fields import (
    GROUP,
    SUSPENSION_MESSAGE_LENGTH_MAX,
    BillingAccountSpec,
    BillingAccountStatus,
    Suspension,
)
from milo_billing.accounts.rules import standing, wording
from milo_billing.accounts.types import SuspensionReason
from milo_billing.controlplane.holds import list_holds
from milo_billing.controlplane.kinds import Admission, Json, Object, rfc3339
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import BadRequest, Conflict, FieldError, Invalid
from milo_billing.ledger import reads as books

ACTIONS = ("suspend", "reactivate", "archive")
ARCHIVE = f"{GROUP}/billingaccounts.archive"
"""Permission to archive; who holds it is the approver, also where the phase is written to the status."""

OWN_CONDITIONS = ("Ready", "PaymentReady", "InvoicingReady")
"""Conditions that follow from the account itself; every other one is reported by the slice that owns it."""

_REASONS: tuple[SuspensionReason, ...] = get_args(SuspensionReason)

AccountObject: TypeAlias = Object[BillingAccountSpec, BillingAccountStatus]
AccountAdmission: TypeAlias = Admission[BillingAccountSpec, BillingAccountStatus]


@dataclass(frozen=True, slots=True)
class Archiving:
    """What archiving goes by: for `late_days_max` days after its last project an account may still receive usage, and
    `open_interest` tells what it owes that is on no invoice; None in a registry that only describes the kinds.
    """

    late_days_max: int
    open_interest: OpenInterest | None = None


def act(
    admission: AccountAdmission, *, action: str, request: Json, archiving: Archiving
) -> BillingAccountStatus:
    """The status that the action leads to. Raises Conflict where the account's state stands against it."""
    account = admission.object
    match action:
        case "suspend":
            reason, message = _suspension_asked(request)
            return _suspended(account, reason=reason, message=message, now=admission.now)
        case "reactivate":
            _refuse_fields(request, but=())
            return _reactivated(account)
        case "archive":
            _refuse_fields(request, but=())
            return _archived(admission, account, archiving=archiving)
        case _:
            raise LookupError(f"billing accounts have no action {action!r}")


def accept_status(admission: AccountAdmission, *, archiving: Archiving) -> BillingAccountStatus:
    """What a client's status becomes: a change of phase is the action that makes it, with the action's rules.

    Provisioning and Ready follow from the payment profile; wanting one of them reactivates a suspended account.
    """
    account = admission.old or admission.object
    wanted, before = admission.object.status, account.status
    own = [condition for condition in before.conditions if condition.type in OWN_CONDITIONS]
    others = [condition for condition in wanted.conditions if condition.type not in OWN_CONDITIONS]
    conditions = {"conditions": [*own, *others]}
    if wanted.phase == before.phase:
        return before.model_copy(update=conditions)
    if before.phase == "Archived":
        raise Conflict(f'billing account "{account.name}" is archived and read-only')
    if wanted.phase == "Suspended":
        asked = wanted.suspension
        status = _suspended(
            account,
            reason="Administrative" if asked is None else asked.reason,
            message=None if asked is None else asked.message,
            now=admission.now,
        )
    elif wanted.phase == "Archived":
        status = _archived(admission, account, archiving=archiving)
    elif before.phase == "Suspended":
        status = _reactivated(account)
    else:
        status = before
    return status.model_copy(update=conditions)


def check_archive(
    tx: Tx, account: AccountObject, *, approved: bool, archiving: Archiving, now: datetime
) -> None:
    """Raise Conflict with everything that stands against archiving the account, as the transaction sees it now."""
    entry = account_reads.find_account(tx, namespace=account.namespace, name=account.name)
    if entry is None:
        raise LookupError(f"billing account {account.namespace}/{account.name} has no projection")
    bound = payer_reads.find_active_interval(tx, account=entry.number)
    ended_at = payer_reads.find_last_end(tx, account=entry.number)
    accruing = archiving.open_interest
    ground = standing.ArchiveGround(
        binding=None if bound is None else bound.binding_name,
        project=None if bound is None else bound.project_name,
        usage_until=None if ended_at is None else ended_at + timedelta(days=archiving.late_days_max),
        sub_accounts=tree_reads.list_sub_accounts(
            tx, account=entry.number, archived=False, limit=standing.NAMED_MAX + 1
        ),
        holds=list_holds(tx, uid=account.uid),
        approved=approved,
        unbilled=account_reads.needs_final(tx, account=entry.number),
        due=books.balance_due(tx, billing_account=entry.number),
        held=books.list_held(tx, billing_account=entry.number),
        interest=() if accruing is None else accruing(tx, account=entry.number, now=now),
    )
    refused = standing.archive_refused(account=account.name, ground=ground, permission=ARCHIVE, now=now)
    if refused is not None:
        raise Conflict(refused)


def _archived(
    admission: AccountAdmission, account: AccountObject, *, archiving: Archiving
) -> BillingAccountStatus:
    if account.status.phase == "Archived":
        return account.status
    check_archive(
        admission.tx,
        account,
        approved=admission.may(ARCHIVE),
        archiving=archiving,
        now=admission.now,
    )
    return account.status.model_copy(update={"phase": "Archived", "suspension": None})


def _suspended(
    account: AccountObject, *, reason: SuspensionReason, message: str | None, now: datetime
) -> BillingAccountStatus:
    before = account.status.suspension
    refused = standing.suspension_refused(
        account=account.name,
        phase=account.status.phase,
        standing=None if before is None else before.reason,
        reason=reason,
    )
    if refused is not None:
        raise Conflict(refused)
    since = rfc3339(now) if before is None or before.since is None else before.since
    suspension = Suspension(reason=reason, message=message, since=since)
    return account.status.model_copy(update={"phase": "Suspended", "suspension": suspension})


def _reactivated(account: AccountObject) -> BillingAccountStatus:
    refused = standing.reactivation_refused(account=account.name, phase=account.status.phase)
    if refused is not None:
        raise Conflict(refused)
    # reconcile makes it Ready if its payment profile does
    return account.status.model_copy(update={"phase": "Provisioning", "suspension": None})


def _suspension_asked(request: Json) -> tuple[SuspensionReason, str | None]:
    """The reason and message of a request to suspend. Raises BadRequest and Invalid."""
    _refuse_fields(request, but=("reason", "message"))
    given, message = request.get("reason"), request.get("message")
    errors: list[FieldError] = []
    reason: SuspensionReason | None = next((known for known in _REASONS if known == given), None)
    if given is None:
        errors.append(
            wording.required("reason", f"why the account is suspended, one of {', '.join(_REASONS)}")
        )
    elif reason is None:
        errors.append(wording.not_supported("reason", str(given), _REASONS))
    if message is not None and not isinstance(message, str):
        text = "Invalid value: message must be a string"
        errors.append(FieldError("message", "FieldValueTypeInvalid", text))
    elif message is not None and len(message) > SUSPENSION_MESSAGE_LENGTH_MAX:
        text = f"Too long: may not be more than {SUSPENSION_MESSAGE_LENGTH_MAX} characters"
        errors.append(FieldError("message", "FieldValueInvalid", text))
    if errors or reason is None:
        raise Invalid(errors)
    return reason, message


def _refuse_fields(request: Json, *, but: Collection[str]) -> None:
    unknown = [f'unknown field "{name}"' for name in request if name not in but]
    if unknown:
        raise BadRequest("strict decoding error: " + ", ".join(unknown))
