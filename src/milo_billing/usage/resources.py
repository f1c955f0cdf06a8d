"""UsageCorrection: usage that staff declare, because its events cannot come in any more."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, TypeAlias, cast

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.types import Account
from milo_billing.catalog import reads as catalog
from milo_billing.catalog.types import Meter
from milo_billing.controlplane.kinds import (
    Admission,
    AnyKind,
    Column,
    Condition,
    Conditions,
    Fields,
    Kind,
    Object,
    set_condition,
)
from milo_billing.directory import reads as directory
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError, Invalid
from milo_billing.kernel.periods import Period, billing_day, local_day
from milo_billing.usage import operations, reads
from milo_billing.usage.engine.labels import canonical_dimensions
from milo_billing.usage.rules import canonical_json, correction_errors, text_hash
from milo_billing.usage.types import NewCorrection, RowKey

GROUP = "billing.miloapis.com"

_MICROSECOND = timedelta(microseconds=1)

Label: TypeAlias = Annotated[str, StringConstraints(max_length=256)]


class CorrectedAccount(Fields):
    """A billing account of the same namespace."""

    name: str = Field(min_length=1, max_length=63)


class CorrectedProject(Fields):
    """The project whose usage it is."""

    name: str = Field(min_length=1, max_length=63)


class UsageCorrectionSpec(Fields):
    """What is added to the usage of one day. Immutable."""

    billing_account_ref: CorrectedAccount
    project_ref: CorrectedProject
    meter_name: str = Field(min_length=1, max_length=253, description="As in the MeterDefinition.")
    day: str = Field(
        pattern=r"^\d{4}-\d\d-\d\d$", description="The billing day, in the account's time zone: YYYY-MM-DD."
    )
    quantity: str = Field(
        pattern=r"^-?[0-9]{1,19}$",
        description="A whole number in the meter's unit, negative to take away. For Sum it is added to the sum, for "
        "Count to the count; for Max, Min, Latest and Average it counts as one event more, at the end of the day.",
    )
    dimensions: dict[str, Label] = Field(
        default_factory=dict[str, str],
        max_length=32,
        description="The dimension set that the usage belongs to; none by default.",
    )
    reason: str = Field(min_length=1, max_length=1024, description="Why, for whoever asks about the bill.")


class UsageCorrectionStatus(Fields):
    """What became of a correction."""

    conditions: Conditions = Field(default_factory=list[Condition])
    observed_generation: int = 0


CorrectionObject: TypeAlias = Object[UsageCorrectionSpec, UsageCorrectionStatus]
CorrectionAdmission: TypeAlias = Admission[UsageCorrectionSpec, UsageCorrectionStatus]


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the names in a correction lead to, where they lead somewhere."""

    account: Account | None
    meter: Meter | None
    day: Period | None
    project: int | None


class UsageCorrection(Kind[UsageCorrectionSpec, UsageCorrectionStatus]):
    """Usage that staff declare for a day whose events cannot come in any more.

    It enters the roll-ups in the transaction that creates it, once, and marks a day that was invoiced as changed. It
    stays for ever: what was wrong about it is put right by another one.
    """

    group = GROUP
    kind = "UsageCorrection"
    plural = "usagecorrections"
    singular = "usagecorrection"
    namespaced = True
    description = "Usage that staff declare for a day whose events cannot come in any more."
    spec_model = UsageCorrectionSpec
    status_model = UsageCorrectionStatus
    columns = (
        Column("Account", ".spec.billingAccountRef.name"),
        Column("Project", ".spec.projectRef.name"),
        Column("Meter", ".spec.meterName"),
        Column("Day", ".spec.day"),
        Column("Quantity", ".spec.quantity"),
        Column("Reason", ".spec.reason", priority=1),
    )
    selectable = ("spec.billingAccountRef.name", "spec.projectRef.name", "spec.meterName", "spec.day")
    # nobody writes his own bill
    provider_only = frozenset({"create", "update", "patch", "delete", "deletecollection", "updateStatus"})

    @override
    def validate(self, admission: CorrectionAdmission) -> Iterable[FieldError]:
        """Names that lead somewhere, an account that paid on that day, a quantity that the meter can take."""
        spec, old = admission.object.spec, admission.old
        if old is not None:
            if spec != old.spec:
                yield FieldError("spec", "FieldValueInvalid", 'Invalid value: "object": spec is immutable')
            return
        ground = _ground(admission.tx, admission.object)
        yield from _name_errors(admission, ground)
        counted = 0
        if (
            ground.account is not None
            and ground.meter is not None
            and ground.project is not None
            and ground.day
        ):
            key = _key(spec, ground)
            counted = reads.count_events(admission.tx, key=key)
        yield from correction_errors(
            quantity=int(spec.quantity),
            dimensions=spec.dimensions,
            aggregation=None if ground.meter is None else ground.meter.aggregation,
            declared=() if ground.meter is None else ground.meter.dimensions,
            bands={} if ground.meter is None else {b.dimension: b.names for b in ground.meter.bands},
            counted=counted,
        )

    @override
    def validate_delete(self, admission: CorrectionAdmission) -> None:
        """Raise Conflict: what was billed must stay explained."""
        raise Conflict(
            f'UsageCorrection "{admission.object.name}" stays: create another one with the opposite quantity'
        )

    @override
    def reconcile(self, object: CorrectionObject, facts: None, *, now: datetime) -> UsageCorrectionStatus:
        """Applied, from the transaction that created it on."""
        applied = set_condition(
            object.status.conditions,
            type="Applied",
            status="True",
            reason="CorrectionApplied",
            message="The quantity is part of the usage of its day.",
            observed_generation=object.generation,
            now=now,
        )
        return UsageCorrectionStatus(conditions=applied, observed_generation=object.generation)

    @override
    def project(
        self, tx: Tx, object: CorrectionObject, old: CorrectionObject | None, *, now: datetime
    ) -> None:
        """usage.corrections and the roll-up, when it is created."""
        if old is not None:
            return
        spec, ground = object.spec, _ground(tx, object)
        if ground.meter is None or ground.day is None:
            raise Invalid(
                [FieldError("spec", "FieldValueInvalid", "the meter has gone meanwhile; try again")]
            )
        labels = _labels(spec)
        operations.correct(
            tx,
            NewCorrection(
                uid=object.uid,
                key=_key(spec, ground),
                aggregation=ground.meter.aggregation,
                quantity=int(spec.quantity),
                at=ground.day.end - _MICROSECOND,
                labels={text_hash(labels): labels},
                reason=spec.reason,
                now=now,
            ),
        )


def _name_errors(admission: CorrectionAdmission, ground: _Ground) -> Iterable[FieldError]:
    spec, tx = admission.object.spec, admission.tx
    account, day = ground.account, ground.day
    if account is None:
        yield _not_found("spec.billingAccountRef.name", spec.billing_account_ref.name)
    elif account.phase == "Archived":
        yield FieldError(
            "spec.billingAccountRef.name", "FieldValueInvalid", "Invalid value: the account is archived"
        )
    if ground.meter is None:
        yield _not_found("spec.meterName", spec.meter_name)
    if account is not None and day is None:
        yield FieldError(
            "spec.day", "FieldValueInvalid", f'Invalid value: "{spec.day}": there is no such day'
        )
    if account is None or day is None:
        return
    if date.fromisoformat(spec.day) > local_day(admission.now, zone=account.time_zone):
        yield FieldError("spec.day", "FieldValueInvalid", f'Invalid value: "{spec.day}" is in the future')
    if ground.project is None:
        yield _not_found("spec.projectRef.name", spec.project_ref.name)
    elif not payer_reads.paid_within(tx, account=account.number, project=ground.project, period=day):
        yield FieldError(
            "spec.projectRef.name",
            "FieldValueInvalid",
            f'Invalid value: "{spec.project_ref.name}": the account did not pay for it on {spec.day}',
        )


def _not_found(field: str, name: str) -> FieldError:
    return FieldError(field, "FieldValueNotFound", f'Not found: "{name}"')


def _ground(tx: Tx, correction: CorrectionObject) -> _Ground:
    spec = correction.spec
    account = account_reads.find_account(
        tx, namespace=correction.namespace, name=spec.billing_account_ref.name
    )
    day = None if account is None else _day(spec.day, account.time_zone)
    project = (
        None
        if day is None
        else directory.find_project(tx, name=spec.project_ref.name, at=day.end - _MICROSECOND)
    )
    meter = catalog.find_meter(tx, meter_name=spec.meter_name)
    return _Ground(account, meter, day, None if project is None else project.number)


def _day(text: str, zone: str) -> Period | None:
    try:
        return billing_day(date.fromisoformat(text), zone=zone)
    except ValueError:
        return None


def _labels(spec: UsageCorrectionSpec) -> bytes:
    """The dimension set in the one spelling that events have."""
    return canonical_dimensions(canonical_json(spec.dimensions))


def _key(spec: UsageCorrectionSpec, ground: _Ground) -> RowKey:
    assert ground.account is not None and ground.meter is not None, "validated"
    hash = text_hash(_labels(spec))
    return RowKey(
        account=ground.account.number,
        day=date.fromisoformat(spec.day),
        project=cast("int", ground.project),
        meter=ground.meter.number,
        dimensions=hash - (1 << 64) if hash >> 63 else hash,
    )


KINDS: tuple[type[AnyKind], ...] = (UsageCorrection,)
