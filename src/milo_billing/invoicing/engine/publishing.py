"""The Invoice object, written from the invoice's row in the transaction that changed it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, cast

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.kinds import Condition, rfc3339, set_condition
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.rules import crediting, issuing
from milo_billing.invoicing.rules.crediting import CreditNote, LineCredit
from milo_billing.invoicing.types.drafts import GROUP
from milo_billing.invoicing.types.invoices import Invoice

PDF: Final = "pdf"


def publish(work: Work, engine: Engine, invoice: Invoice, *, verb: str, new: bool = False) -> None:
    """Write the Invoice object as the row says; `verb` is what the audit calls it. Saying it again writes nothing.

    `new` says that there is no such object yet, and saves looking for it.
    """
    kind = engine.registry.find(GROUP, "v1alpha1", "invoices")
    assert kind is not None, "the kind of this slice is registered"
    standing = (
        None
        if new
        else engine.find_object(work.tx, type(kind), namespace=invoice.namespace, name=invoice.name)
    )
    conditions = cast("list[Condition]", [] if standing is None else standing.status.conditions)
    engine.write_system(
        work,
        type(kind),
        namespace=invoice.namespace,
        name=invoice.name,
        spec=issuing.invoice_spec(invoice),
        status=invoice_body(invoice, conditions, now=work.now),
        verb=verb,
        uid=invoice.uid,
    )


def publish_note(
    work: Work, engine: Engine, note: CreditNote, *, verb: str, lines: Sequence[LineCredit] = ()
) -> None:
    """Write the CreditNote object of a note that nobody declared; its spec names the amounts of `lines`, if any."""
    kind = engine.registry.find(GROUP, "v1alpha1", "creditnotes")
    assert kind is not None, "the kind of this slice is registered"
    engine.write_system(
        work,
        type(kind),
        namespace=note.namespace,
        name=note.name,
        spec=crediting.lines_spec(note, lines) if lines else crediting.made_spec(note),
        status=note_body(note, (), now=work.now),
        verb=verb,
        uid=note.uid,
    )


def publish_cancelled(work: Work, engine: Engine, note: CreditNote) -> None:
    """Have the CreditNote object say that nothing stands of the note; its invoice is locked by the caller."""
    kind = engine.registry.find(GROUP, "v1alpha1", "creditnotes")
    assert kind is not None, "the kind of this slice is registered"
    standing = engine.find_object(work.tx, type(kind), namespace=note.namespace, name=note.name)
    conditions = cast("list[Condition]", [] if standing is None else standing.status.conditions)
    engine.write_system(
        work,
        type(kind),
        namespace=note.namespace,
        name=note.name,
        spec=crediting.made_spec(note),
        status=note_body(note, conditions, now=work.now),
        verb="cancel",
        uid=note.uid,
    )


def invoice_body(invoice: Invoice, conditions: Iterable[Condition], *, now: datetime) -> dict[str, Any]:
    """The whole status of the Invoice object; `conditions` are those that stand."""
    standing = list(conditions)
    for type_, status, reason, message in issuing.invoice_conditions(invoice):
        if status == "False" and not any(one.type == type_ for one in standing):
            continue  # what never was is not said
        standing = set_condition(
            standing,
            type=type_,
            status=status,
            reason=reason,
            message=message,
            observed_generation=1,
            now=now,
        )
    return {
        **issuing.invoice_status(invoice),
        "documents": issuing.document_paths(invoice),
        "conditions": _bodies(standing),
    }


def note_body(note: CreditNote, conditions: Iterable[Condition], *, now: datetime) -> dict[str, Any]:
    """The whole status of the CreditNote object; `conditions` are those that stand."""
    standing = set_condition(
        list(conditions),
        type="Issued",
        status="True",
        reason="CreditNoteIssued",
        message=f"Credit note {note.number} of invoice {note.invoice_number} was issued on {note.issued_on}.",
        observed_generation=1,
        now=now,
    )
    if note.cancellation is not None:
        standing = set_condition(
            standing,
            type="Cancelled",
            status="True",
            reason="PaymentReturned",
            message=f"The payment for which it gave a discount went back: {note.cancellation.number} cancels it, and "
            f"{note.invoice_number} is owed in full again.",
            observed_generation=1,
            now=now,
        )
    return {
        **crediting.note_status(note),
        "cancelledAt": "" if note.cancelled_at is None else rfc3339(note.cancelled_at),
        "cancellation": crediting.cancellation_body(note),
        "documents": crediting.note_paths(note),
        "conditions": _bodies(standing),
    }


def _bodies(conditions: Iterable[Condition]) -> list[dict[str, Any]]:
    return [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in conditions]
